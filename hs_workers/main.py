"""`viaduct worker ROLE…`: a process that follows the log and serves the endpoints of its roles."""

import sys
from collections.abc import Sequence

from twisted.internet import reactor

from hs_common.config import Config
from hs_common.process.logging import begin_logging
from hs_common.process.node import Node, Outside
from hs_common.replication.dial import tcp_dial
from hs_common.replication.link import MasterLink
from hs_common.replication.link_connection import LinkIdentity
from hs_workers.following import Following
from hs_workers.wiring import WorkerParts


def run(config: Config, roles: Sequence[str]) -> None:
    """Run a worker until it is told to end. Exits with status 1 if it cannot start."""
    begin_logging(sys.stderr, config.logging.level, config.logging.format)
    outside = Outside.real(reactor)
    node = Node(config, outside, roles, config.database.connections)
    following = Following(node, None)
    link = MasterLink(
        clock=outside.reactor,
        random=outside.random,
        random_bytes=outside.random_bytes,
        identity=LinkIdentity(config.cluster.id, config.cluster.secret.encode(), " ".join(roles)),
        find_leader=node.find_leader,
        dial=tcp_dial(outside.reactor),
        highest_epoch=lambda: following.follower.highest_epoch,
    )
    parts = WorkerParts(node, roles, following, link)
    parts.add_endpoints()

    async def start_link() -> None:
        link.start()

    node.service.step("link", start_link, link.stop)
    following.add_steps()
    parts.add_steps()
    node.announce(call_address=f"{node.host(config.listen.address)}:0", http_port=config.listen.port)
    node.listen_for_operators()
    if not node.service.run():
        sys.exit(1)
