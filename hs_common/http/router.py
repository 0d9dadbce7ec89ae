"""Which endpoint a method and path belong to, in this process or in a worker of another role.

The table is made of declarations alone. Endpoints of this process are added as instances; those of other roles are
only declared, so that a request that went astray can be forwarded rather than answered 404.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from hs_common.http.endpoint import EndpointDeclaration, declarations_of
from hs_common.http.paths import MalformedPath, Match, PathTree, decode_segments
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, unrecognized

EndpointMethod = Callable[[Request], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, the role that serves it, and the method to call; None where another process serves it."""

    declaration: EndpointDeclaration
    role: str
    call: EndpointMethod | None


class Router:
    """The routes that this process knows."""

    def __init__(self) -> None:
        self._tree: PathTree[Route] = PathTree()

    def add(self, instance: object, role: str) -> None:
        """Adds all endpoints of the instance's class (its bases excluded). ValueError if one is there already."""
        for name, declaration in declarations_of(type(instance)):
            self._add(Route(declaration, role, getattr(instance, name)))

    def declare(self, declaration: EndpointDeclaration, role: str) -> None:
        """Makes known that workers of another role serve this endpoint."""
        self._add(Route(declaration, role, None))

    def _add(self, route: Route) -> None:
        for template in route.declaration.templates:
            self._tree.add(route.declaration.method, template, route)

    def find(self, method: str, path: bytes) -> Match[Route]:
        """The route of a request, HEAD being GET without the body.

        400 `M_INVALID_PARAM` for a path that cannot be decoded; 404 or, if the path is there for another method, 405
        `M_UNRECOGNIZED`. https://spec.matrix.org/v1.19/client-server-api/#common-error-codes
        """
        try:
            segments = decode_segments(path)
        except MalformedPath as error:
            raise invalid_param(f"The path cannot be read: {error}") from error
        match = self._tree.find("GET" if method == "HEAD" else method, segments)
        if match is not None:
            return match
        if self._tree.methods(segments):
            raise unrecognized("This endpoint has no such method", status=405)
        raise unrecognized()


def declared_endpoints(classes: Iterable[type]) -> Iterator[EndpointDeclaration]:
    """All endpoints that the classes declare; what reverse proxies' routes are generated from."""
    for cls in classes:
        for _, declaration in declarations_of(cls):
            yield declaration
