"""The role `federation-inbound`: what other servers ask and send."""

from collections.abc import Iterable

from hs_common.federation.signs_of_life import SignsOfLife
from hs_workers.federation_inbound.key_validity import KeyValidity
from hs_workers.federation_inbound.wiring import ENDPOINT_CLASSES as FEDERATION_INBOUND
from hs_workers.federation_inbound.wiring import Outside as InboundOutside
from hs_workers.federation_inbound.wiring import inbound_endpoints
from hs_workers.federation_inbound.writing import WritingOutside, WritingParts
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = FEDERATION_INBOUND


def make(parts: RoleParts) -> Iterable[object]:
    """What other servers ask and send."""
    node = parts.node
    signs = SignsOfLife(node.db, parts.link, node.reactor.seconds, node.background)
    parts.federation.authenticator.on_alive = signs.heard
    parts.following.close_while(lambda: signs.has_heard)  # who was let in may have been kept out since
    outside = InboundOutside(
        db=node.db,
        master=parts.link,
        federation=parts.federation,
        now_ms=node.outside.now_ms,
        seconds=node.reactor.seconds,
        alias_was_made=parts.service_queries.alias_was_made,
    )
    yield from inbound_endpoints(node.config, outside)
    yield from _receiving(parts)


def _receiving(parts: RoleParts) -> Iterable[object]:
    """What other servers send, and the work that it makes."""
    node = parts.node
    outside = WritingOutside(
        db=node.db,
        master=parts.link,
        outgoing=parts.outgoing,
        clock=node.reactor,
        background=node.background,
        me=node.id,
        colleagues=lambda: [member.id for member in node.living if "federation-inbound" in member.roles],
        on_fetch=node.metrics.federation_fetched,
        accounts=parts.federation.accounts,
        is_valid_key=KeyValidity(parts.egress),
        queries=parts.service_queries,
    )
    made = WritingParts(outside)
    parts.following.subscribe(made.subscription())
    parts.following.subscribe(made.policy_subscription())
    node.service.step("events of other servers", made.start, made.stop)
    queues = made.queues
    node.metrics.watch_queue("rooms with events of other servers", lambda: len(queues))
    node.metrics.watch_queue("events of other servers", lambda: queues.backlog[0], lambda: queues.backlog[1])
    yield from made.endpoints()
