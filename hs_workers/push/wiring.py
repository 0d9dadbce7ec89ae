"""Puts the role on a node: what it follows, what it starts and stops."""

from typing import Final

from hs_common.email.making import make_mailer
from hs_common.email.unsubscribing import Unsubscribing
from hs_common.process.node import Node
from hs_common.replication.link_interface import Link
from hs_workers.following import Following
from hs_workers.push.gateway import Egress
from hs_workers.push.lag import Lag
from hs_workers.push.worker import PushWorker, Surroundings

ROLE: Final = "push"


class PushParts:
    """The role's parts on a node."""

    def __init__(self, node: Node, following: Following, link: Link, egress: Egress) -> None:
        self._node = node
        self._following = following
        worker = PushWorker(
            Surroundings(
                db=node.db,
                master=link,
                egress=egress,
                clock=node.reactor,
                random=node.outside.random,
                now_ms=node.outside.now_ms,
                position=lambda: following.follower.position.pos,
                me=node.id,
                members=self._members,
                settings=node.config.push,
                mailer=make_mailer(node.reactor, node.config, node.outside.now_ms, node.outside.random_bytes),
                unsubscribing=Unsubscribing(node.config.cluster.secret, node.config.server.public_baseurl),
            )
        )
        self._judge = judge = worker.judge
        self._lag = Lag(
            node.db,
            node.reactor,
            node.outside.now_ms,
            node.metrics,
            lambda: judge.shards,
            lambda: judge.waiting,
            worker.gateways.tidy,
        )
        node.metrics.watch_cache("unread counts for push", lambda: len(worker.badges))

    def add_steps(self) -> None:
        """Before the log is followed, so that nothing of it is missed."""
        self._following.subscribe(self._judge.subscription())
        service = self._node.service
        service.step("push", self._start, self._judge.stop)
        service.step("lag of push", self._lag.start, self._lag.stop)

    async def _start(self) -> None:
        self._judge.start()

    def _members(self) -> list[str]:
        return [member.id for member in self._node.living if ROLE in member.roles]
