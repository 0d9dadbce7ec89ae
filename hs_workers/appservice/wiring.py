"""Puts the role together: what it follows, what it starts and stops."""

from typing import Final

from hs_common.appservices.http_client import ServiceClient
from hs_common.process.node import Node
from hs_workers.appservice.deliveries import Deliveries
from hs_workers.appservice.lag import Lag
from hs_workers.following import Following

ROLE: Final = "appservice"


class AppServiceParts:
    """The role's parts on a node."""

    def __init__(self, node: Node, following: Following) -> None:
        self._node = node
        self._following = following
        self._http = ServiceClient(node.reactor)
        self.deliveries = Deliveries(
            db=node.db,
            http=self._http,
            clock=node.reactor,
            random=node.outside.random,
            now_ms=node.outside.now_ms,
            registry=following.app_services,
            me=node.id,
            members=self._members,
            background=node.background,
        )
        others_wait = following.someone_waits
        following.someone_waits = lambda: self.deliveries.is_sending or others_wait()
        self._lag = Lag(node.db, node.reactor, node.outside.now_ms, node.metrics, lambda: self.deliveries.sending_to)

    def add_steps(self) -> None:
        """Before the log is followed, so that nothing of it is missed."""
        self._following.subscribe(self.deliveries.subscription())
        self._following.when_ephemeral(self.deliveries.heard)
        self._following.close_while(lambda: bool(self.deliveries.sending_to))
        service = self._node.service
        service.step("connections to application services", _nothing, self._http.close)
        service.step("application services", self._start, self.deliveries.stop)
        service.step("lag of application services", self._lag.start, self._lag.stop)

    async def _start(self) -> None:
        self.deliveries.start()

    def _members(self) -> list[str]:
        return [member.id for member in self._node.living if ROLE in member.roles]


async def _nothing() -> None:
    return None
