"""How an endpoint declares its facts: method, path, who may call it, how often, and where the specification has it.

The facts are data on the method. The router reads them to route, the reverse proxy's configuration is generated from
them, and a reviewer sees them above the body that they govern:

    class SendEvent:
        def __init__(self, master: MasterLink) -> None: ...

        @endpoint("PUT", "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
                  auth=Auth.USER_OR_GUEST, rate=Rate.MESSAGE, aliases=(r0, v1),
                  spec="client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid")
        async def send(self, request: Request) -> Reply: ...

This module knows nothing of the network, of tokens or of buckets: it only says what is true of an endpoint.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

Alias = str | Callable[[str], str]
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])
_MARK: Final = "__endpoint_declarations__"


class Auth(Enum):
    """Who may call. Guests are let in only where the specification lists the endpoint for them."""

    NONE = "none"
    """No token is looked at."""
    SERVICE_OPTIONAL = "service_optional"
    """Works without a token. An application service's is known; any other is not looked at."""
    USER_OPTIONAL = "user_optional"
    """Works without a token; one that is given must be good. Guests may."""
    USER = "user"
    """A registered user (or an application service); guests get 403 `M_GUEST_ACCESS_FORBIDDEN`."""
    USER_OR_GUEST = "user_or_guest"
    """Any user with an access token."""
    SERVER = "server"
    """Another homeserver, by its signature on the request."""
    ADMIN = "admin"
    """An administrator of this server; anybody else gets 403 `M_FORBIDDEN`."""


class Rate(Enum):
    """The limit class of an endpoint: which of the configured token buckets a call is taken from."""

    NONE = "none"
    DEFAULT = "default"
    MESSAGE = "message"
    JOIN = "join"
    INVITE = "invite"
    LOGIN = "login"
    LOGIN_FAILURE = "login_failure"
    UNKNOWN_TOKEN = "unknown_token"
    REGISTRATION = "registration"
    MAIL = "mail"
    CREATE_ROOM = "create_room"
    MEDIA = "media"
    DOWNLOAD = "download"
    PREVIEW = "preview"
    SEARCH = "search"
    KEYS = "keys"
    FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class EndpointDeclaration:
    """The facts of one endpoint. `path` is the template that metrics and the specification know it by."""

    method: str
    path: str
    auth: Auth
    rate: Rate
    aliases: tuple[str, ...]
    """Further templates that lead to the same endpoint, with the same parameters."""
    reads: bool
    """True: answered from what a follower holds, so the read barrier is awaited first."""
    waits: bool
    """True for a long poll: it takes long on purpose, so it is never logged as slow."""
    body_limit_bytes: int | None
    """None: the configured limit of ordinary requests."""
    locked_ok: bool
    """A locked account may still call it (logging out)."""
    suspended_ok: bool
    """A suspended account may still call it (reading, leaving, logging out)."""
    spec: str
    """The anchor in the specification, or the proposal's number for what is not in it yet."""
    streams: bool = False
    """True: the endpoint gets the body while it comes (`request.stream`), and says itself how large it may be."""

    @property
    def templates(self) -> tuple[str, ...]:
        """The path and all its aliases."""
        return (self.path, *self.aliases)


def endpoint(
    method: str,
    path: str,
    *,
    auth: Auth,
    spec: str,
    rate: Rate = Rate.DEFAULT,
    aliases: tuple[Alias, ...] = (),
    reads: bool | None = None,
    waits: bool = False,
    body_limit_bytes: int | None = None,
    locked_ok: bool = False,
    suspended_ok: bool | None = None,
    streams: bool = False,
) -> Callable[[_Endpoint], _Endpoint]:
    """Marks `async def method(self, request: Request) -> Reply` as an endpoint. May stand more than once on a method.

    `aliases` are templates or functions of the path, such as `r0`. `reads` is True for GET unless said otherwise, by
    endpoints that never read from a follower; a long poll says `waits` instead. A suspended account may GET, unless
    said otherwise.
    """
    declaration = EndpointDeclaration(
        method=method,
        path=path,
        auth=auth,
        rate=rate,
        aliases=tuple(alias if isinstance(alias, str) else alias(path) for alias in aliases),
        reads=(method == "GET" and not waits) if reads is None else reads,
        waits=waits,
        body_limit_bytes=body_limit_bytes,
        locked_ok=locked_ok,
        suspended_ok=method == "GET" if suspended_ok is None else suspended_ok,
        spec=spec,
        streams=streams,
    )

    def mark(function: _Endpoint) -> _Endpoint:
        setattr(function, _MARK, (declaration, *getattr(function, _MARK, ())))
        return function

    return mark


def declarations_of(cls: type) -> Iterator[tuple[str, EndpointDeclaration]]:
    """The endpoints of a class as (name of the method, declaration), in the order in which they are written."""
    for name, attribute in vars(cls).items():
        for declaration in getattr(attribute, _MARK, ()):
            yield name, declaration


def r0(path: str) -> str:
    """The alias under `/r0/`, which clients of before version 1.1 of the specification still call."""
    return _moved(path, "r0")


def v1(path: str) -> str:
    """The alias under `/v1/`, which some bridges use for all endpoints."""
    return _moved(path, "v1")


def unstable(prefix: str = "") -> Callable[[str], str]:
    """The alias under `/unstable/`, or `/unstable/<prefix>/` for a feature that had a vendor's prefix."""
    return lambda path: _moved(path, f"unstable/{prefix}" if prefix else "unstable")


def _moved(path: str, version: str) -> str:
    prefix, _, rest = path.partition("/_matrix/client/")[2].partition("/")
    assert prefix in ("v1", "v3"), f"{path} has no versioned prefix of the client-server API"
    return f"/_matrix/client/{version}/{rest}"
