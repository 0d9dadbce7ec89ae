"""The role `sync`: what is new, and waiting for it."""

from collections.abc import Iterable

from hs_workers.roles.parts import RoleParts
from hs_workers.sync.wiring import ENDPOINT_CLASSES as SYNC
from hs_workers.sync.wiring import Outside as SyncOutside
from hs_workers.sync.wiring import SyncParts

ENDPOINT_CLASSES: tuple[type, ...] = SYNC


def make(parts: RoleParts) -> Iterable[object]:
    """/sync: what is new, and waiting for it."""
    node = parts.node
    parts.following.close_while(lambda: True)  # who is locked or has logged out elsewhere is refused at once
    outside = SyncOutside(
        db=node.db,
        master=parts.link,
        background=node.background,
        clock=node.reactor,
        now_ms=node.outside.now_ms,
        server_name=node.config.server.name,
        maximum_timeout_ms=node.config.limits.sync_timeout_ms,
    )
    made = SyncParts(outside, parts.following)

    async def end() -> None:
        made.end()

    node.service.when_draining("long polls", end)
    node.metrics.watch_queue("waiting syncs", lambda: len(made.waiting))
    parts.quick_endpoints.append(made.quick)
    yield from made.endpoints
