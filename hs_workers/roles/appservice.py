"""The role `appservice`: sends application services what is for them. Serves nothing."""

from collections.abc import Iterable

from hs_workers.appservice.wiring import AppServiceParts
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = ()


def make(parts: RoleParts) -> Iterable[object]:
    """Sends application services what is for them. Serves nothing."""
    AppServiceParts(parts.node, parts.following).add_steps()
    return ()
