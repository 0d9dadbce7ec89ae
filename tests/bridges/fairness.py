"""What a human notices of a bridge in full flood: `tests/bridges/run fairness [SECONDS]`.

One human sends five messages a second, without and with a bridge that has 64 sends in flight, then 256, all through one
client worker (the worst case), in both layouts. Prints the human's latencies. On a machine that does something else
meanwhile, or has fewer than two cores, they say little.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Final

from tests.bench.http_client import Address
from tests.bench.matrix_client import Client
from tests.bench.service import Registration
from tests.bridges.report import Report
from tests.scenarios.client import http_session, register
from tests.scenarios.server import Server
from tests.scenarios.services import free_port

IN_FLIGHT: Final = (64, 256)
SENDS_PER_S: Final = 5
SECONDS: Final = 20
CONNECTIONS: Final = 8  # of the human, so that a slow answer does not hold up the next send
WARM_UP_S: Final = 3


@contextmanager
def flood(server: Server, folder: Path, url: str, ghosts: int) -> Iterator[list[int]]:
    """A bridge in full flood; the events a second that went in."""
    known, path = Registration.made_up(free_port()), folder / f"{ghosts}.yaml"
    path.write_text(known.file())
    server.command("admin", "appservice", "add", str(path))
    command = [sys.executable, "-m", "tests.bridges.flood", str(path), url, str(ghosts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rates: list[int] = []
        try:
            assert process.stdout.readline() == "ready\n", "the bridge did not come up"
            yield rates
        finally:
            process.terminate()
            rates += [int(line) for line in process.stdout if line.strip().isdigit()]


async def human(url: str, seconds: int) -> list[float]:
    """The latencies of a human's sends, in ms, each from when it was due."""
    async with http_session() as http:
        user = await register(http, [url], "human")
        room_id = await user.create_room()
    address = Address(url)
    clients = [Client(address, user.user_id, str(user.access_token)) for _ in range(CONNECTIONS)]
    began, latencies = time.monotonic(), []

    async def send(number: int) -> None:
        due = began + number / SENDS_PER_S
        await asyncio.sleep(due - time.monotonic())
        await clients[number % CONNECTIONS].send(room_id, f"{number}")
        latencies.append((time.monotonic() - due) * 1000)

    async with asyncio.TaskGroup() as sends:
        for number in range(seconds * SENDS_PER_S):
            sends.create_task(send(number))
    return latencies


def shown(latencies: Sequence[float]) -> str:
    ordered = sorted(latencies)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99) - 1]
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {ordered[-1]:.1f} ms, {len(ordered)} sends"


def measure(server: Server, folder: Path, seconds: int, report: Report) -> None:
    workers = server.workers("client")
    url = f"http://127.0.0.1:{workers[0].port}" if workers else server.url
    asyncio.run(human(url, WARM_UP_S))
    report(f"alone:       {shown(asyncio.run(human(url, seconds)))}")
    for ghosts in IN_FLIGHT:
        with flood(server, folder, url, ghosts) as rates:
            asyncio.run(human(url, WARM_UP_S))
            latencies = asyncio.run(human(url, seconds))
        events = f"the bridge sent {mean(rates[WARM_UP_S:]):.0f} events/s meanwhile"
        report(f"beside {ghosts:4}: {shown(latencies)}; {events}")


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    for split in (False, True):
        report = Report()
        with tempfile.TemporaryDirectory() as name, Server(split=split) as server:
            report("split:" if split else "all in one:")
            measure(server, Path(name), seconds, report)


if __name__ == "__main__":
    main()
