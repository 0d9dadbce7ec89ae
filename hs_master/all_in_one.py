"""`viaduct up`: master and all roles of workers in one process. The one file that sees both.

The log is carried in memory, in the same bytes and through the same test as between processes; calls are encoded and
decoded as on the wire.
"""

import sys

from twisted.internet import reactor

from hs_common.config import Config
from hs_common.process.logging import begin_logging
from hs_common.process.node import Node, Outside
from hs_common.replication.carrier import Beat
from hs_common.replication.carrier_memory import MemoryCarrier
from hs_common.replication.link_local import LocalLink
from hs_master.wiring import MasterParts
from hs_workers.following import Following
from hs_workers.roles import ROLES
from hs_workers.wiring import WorkerParts

CONNECTIONS = 4


def run(config: Config) -> None:
    """Run a whole server until it is told to end. Exits with status 1 if it cannot start."""
    begin_logging(sys.stderr, config.logging.level, config.logging.format)
    outside = Outside.real(reactor)
    roles = ("master", *ROLES)
    node = Node(config, outside, roles, CONNECTIONS)

    def beat() -> Beat | None:
        return parts.beat()

    def fail(error: Exception) -> None:
        sys.stderr.write(f"viaduct: this server cannot lead: {error}\n")
        node.service.failed = True
        outside.reactor.stop()

    carrier = MemoryCarrier(outside.reactor, beat)
    parts = MasterParts(node, carrier, fail)
    following = Following(node, carrier)
    link = LocalLink(outside.reactor, outside.random_bytes, parts.desk.work)
    worker = WorkerParts(node, ROLES, following, link)
    worker.add_endpoints()
    parts.add_steps()
    following.add_steps()
    worker.add_steps()
    node.announce(call_address=parts.address, http_port=config.listen.port)
    node.listen_for_operators()
    if not node.service.run():
        sys.exit(1)
