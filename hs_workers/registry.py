"""Which role serves which endpoints: all of them, as classes, or as the facts that are written in `endpoints.json`.

Routes and conformance tests are made of the classes; a worker reads the file, as it imports its own roles only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hs_common.http.endpoint import EndpointDeclaration
from hs_common.http.router import declared_endpoints
from hs_workers.roles import ROLES, role

DECLARED: Final = Path(__file__).parent / "endpoints.json"
"""Written by `deploy/update`, an endpoint a line; a test says when it is out of date."""


def endpoint_classes() -> dict[str, tuple[type, ...]]:
    """What each role serves. Imports all roles."""
    return {name: role(name).ENDPOINT_CLASSES for name in ROLES}


def declared() -> Iterator[tuple[str, EndpointDeclaration]]:
    """The role and the facts of every endpoint, as they are written down."""
    yield from msgspec.json.decode(DECLARED.read_bytes(), type=list[tuple[str, EndpointDeclaration]])


def declarations_text() -> bytes:
    """What `endpoints.json` has to hold, by the classes."""
    lines = [
        msgspec.json.encode((name, declaration))
        for name, classes in endpoint_classes().items()
        for declaration in declared_endpoints(classes)
    ]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"
