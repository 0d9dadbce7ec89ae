"""The smallest real deployment, on one machine: Redis, masters, two client and two sync workers, one that sends
to application services, one for media, one that pushes, one for other servers, and a front door.

The front door is a worker without endpoints of its own: it forwards each request to a live worker of the right role,
as every worker does with requests that went astray.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from hs_common.config import Config
from hs_common.process.greeting import Greeting
from hs_common.process.options import say
from hs_common.process.supervisor import MASTER, Program, Supervisor

WORKERS: Mapping[str, int] = {
    "client": 2,
    "sync": 2,
    "appservice": 1,
    "media": 1,
    "push": 1,
    "federation-inbound": 1,
    "federation-sender": 1,
}
_FRONT = "front"
FIRST_ANSWER_S = 10.0  # the others are started then even if nothing answers yet
_PORT_SPAN = 200  # free ports are looked for in this many above the front door's


def run_split(
    config: Config,
    config_path: Path,
    *,
    masters: int,
    workers: Mapping[str, int],
    look: Callable[[], None],
    greeting: Greeting,
) -> None:
    """Run everything until SIGINT or SIGTERM. The children get the services' URLs of `config` by environment.

    `look` is called often, for what else has to be looked after, the greeting too. What the first answer does not need
    is started once it was given: on a small machine the processes would only keep each other from starting.
    """
    environment = {**os.environ, "DATABASE_URL": str(config.database.url), "REDIS_URL": str(config.redis.url)}
    supervisor = Supervisor(environment, say)
    _stop_on_signals(supervisor)
    try:
        first, others = in_order_of_need(programs(config, config_path, masters, workers))
        _start(supervisor, first)
        waiting = [others]

        def start_others() -> None:
            while waiting:
                _start(supervisor, waiting.pop())

        greeting.before_it_greets(start_others)
        latest = time.monotonic() + FIRST_ANSWER_S

        def look_after() -> None:
            if time.monotonic() > latest:
                start_others()
            look()

        supervisor.run(look_after)
    finally:
        say("Stopping …")
        supervisor.stop()


def in_order_of_need(found: Sequence[Program]) -> tuple[list[Program], list[Program]]:
    """What the first answer and the first sync need: the masters, a worker of each of the two roles, the front door.
    And the others."""
    first: dict[str, Program] = {}
    for program in found:
        if program.role in (MASTER, _FRONT):
            first[program.name] = program
        elif program.role in ("client", "sync"):
            first.setdefault(program.role, program)
    needed = list(first.values())
    return needed, [program for program in found if program not in needed]


def _start(supervisor: Supervisor, found: Sequence[Program]) -> None:
    for program in found:
        process_id = supervisor.start(program)
        say(f"{program.name:<10} process {process_id:<7} port {program.port}")


def programs(config: Config, config_path: Path, masters: int, workers: Mapping[str, int] = WORKERS) -> list[Program]:
    """The processes of the split, in the order of their start, each with free ports of its own."""
    ports = _free_ports(config.listen.port + 1)
    # Nothing drains: no proxy has to notice that a process ends, as the front door sees the members.
    common = ["--config", str(config_path), "--drain-ms", "0", *(["--dev"] if config.dev else [])]
    command = [sys.executable, "-m", "hs_common.process.command_line"]
    found = []
    for number in range(1, masters + 1):
        port, metrics = next(ports), next(ports)
        options = ["--call-port", str(port), "--metrics-port", str(metrics)]
        found.append(Program(f"master-{number}", MASTER, port, [*command, "master", *common, *options]))
    counts: dict[str, int] = {}
    roles = [role for role, count in workers.items() for _ in range(count)]
    for role in (*roles, _FRONT):
        counts[role] = counts.get(role, 0) + 1
        port = config.listen.port if role == _FRONT else next(ports)
        options = ["--port", str(port), "--metrics-port", str(next(ports))]
        found.append(Program(f"{role}-{counts[role]}", role, port, [*command, "worker", role, *common, *options]))
    return found


def _free_ports(first: int) -> Iterator[int]:
    for port in range(first, min(first + _PORT_SPAN, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def _stop_on_signals(supervisor: Supervisor) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.stopping.set()

    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop_signal, stop)
