"""The role `federation-sender`: sends other servers what is for them. Serves nothing."""

from collections.abc import Iterable

from hs_workers.federation_sender.wiring import SenderParts
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = ()


def make(parts: RoleParts) -> Iterable[object]:
    """Sends other servers what is for them. Serves nothing."""
    if parts.node.config.federation.enabled:
        SenderParts(parts.node, parts.following, parts.federation.client).add_steps()
    return ()
