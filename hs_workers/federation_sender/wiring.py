"""Puts the role together: what it follows, what it starts and stops."""

from typing import Final

from hs_common.federation.client import FederationClient
from hs_common.process.node import Node
from hs_workers.federation_sender.deliveries import Deliveries
from hs_workers.following import Following

ROLE: Final = "federation-sender"


class SenderParts:
    """The role's parts on a node."""

    def __init__(self, node: Node, following: Following, client: FederationClient) -> None:
        self._node = node
        self._following = following
        self.deliveries = Deliveries(
            db=node.db,
            client=client,
            clock=node.reactor,
            random=node.outside.random,
            now_ms=node.outside.now_ms,
            me=node.id,
            members=self._members,
            head=lambda: following.follower.position.pos,
            background=node.background,
            told=node.metrics.sent_to_servers,
        )

    def add_steps(self) -> None:
        """Before the log is followed, so that nothing of it is missed."""
        self._following.subscribe(self.deliveries.subscription())
        self._following.when_ephemeral(self.deliveries.heard)
        self._following.close_while(lambda: self.deliveries.has_sent)
        self._node.metrics.watch_queue("servers sent to", lambda: self.deliveries.sending_to)
        self._node.metrics.watch_queue("servers out of reach", lambda: self.deliveries.failing)
        self._node.service.step("other servers", self._start, self.deliveries.stop)

    async def _start(self) -> None:
        self.deliveries.start()

    def _members(self) -> list[str]:
        return [member.id for member in self._node.living if ROLE in member.roles]
