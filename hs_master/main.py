"""`viaduct master`: a process that leads, or stands by until it does."""

import sys

from twisted.internet import reactor

from hs_common.config import Config
from hs_common.process.logging import begin_logging
from hs_common.process.node import Node, Outside
from hs_master.wiring import MasterParts

CONNECTIONS = 2  # for reading, beside the one that writes


def run(config: Config) -> None:
    """Run a master until it is told to end. Exits with status 1 if it cannot lead on this database."""
    begin_logging(sys.stderr, config.logging.level, config.logging.format)
    outside = Outside.real(reactor)
    node = Node(config, outside, ["master"], CONNECTIONS)
    failures: list[Exception] = []

    def fail(error: Exception) -> None:
        failures.append(error)
        sys.stderr.write(f"viaduct: this master cannot lead: {error}\n")
        outside.reactor.stop()

    parts = MasterParts(node, None, fail)
    node.announce(call_address=parts.address)
    parts.add_steps()
    node.service.step("calls", parts.listen, parts.stop_listening)
    node.listen_for_operators()
    if not node.service.run() or failures:
        sys.exit(1)
