"""The roles that a worker can have, a module each, which says what it serves and how that is made.

A module is imported where its role is run: a worker takes neither the memory nor the time to start of the other roles'
code. What it must know of their endpoints, to forward what went astray, is written down in `endpoints.json`.
"""

import importlib
from collections.abc import Iterable
from typing import Final, Protocol, cast

from hs_workers.roles.parts import RoleParts

ROLES: Final = ("client", "sync", "appservice", "media", "push", "federation-inbound", "federation-sender")
"""In the order in which a process with several of them makes them."""


class Role(Protocol):
    """What a role's module has."""

    ENDPOINT_CLASSES: tuple[type, ...]
    """What it serves."""

    @staticmethod
    def make(parts: RoleParts) -> Iterable[object]:
        """Gives the process what the role does; instances of the endpoint classes."""


def role(name: str) -> Role:
    """The module of one of ROLES."""
    return cast(Role, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))
