"""The role `push`: notifies users who are not connected. Serves nothing."""

from collections.abc import Iterable

from hs_workers.push.wiring import PushParts
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = ()


def make(parts: RoleParts) -> Iterable[object]:
    """Notifies users who are not connected. Serves nothing."""
    PushParts(parts.node, parts.following, parts.link, parts.egress).add_steps()
    return ()
