"""Soak: a bridge in full flood while one process after the other is killed: `tests/bridges/run kills [ROUNDS]`.

Ends with an error if an event was lost, told twice, changed or out of order. CI plays a short part of it:
`tests/scenarios/test_fault_bridge.py`.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.bridges.report import Report
from tests.scenarios.bridge_load import flood
from tests.scenarios.harm import forget_redis, kill
from tests.scenarios.server import Server

ROOMS = 24
CALM_S = 1.5
KINDS = ("leader", "standby", "client-1", "sync-1", "appservice-1", "front-1", "redis", "postgres", "FLUSHALL")


async def soak(server: Server, folder: Path, rounds: int) -> None:
    """Kills each kind once a round, in another order each time."""
    report = Report()
    async with flood(server, folder, ROOMS) as lanes:
        for number in range(rounds):
            for kind in random.Random(number).sample(KINDS, len(KINDS)):
                await asyncio.sleep(CALM_S)
                started, before = time.monotonic(), sum(len(one.sent) for one in lanes)
                await asyncio.to_thread(*((forget_redis, server) if kind == "FLUSHALL" else (kill, server, kind)))
                sent = sum(len(one.sent) for one in lanes)
                took_s = time.monotonic() - started
                report(f"{kind}: whole after {took_s:.1f} s, {sent - before} events acknowledged meanwhile")
        await asyncio.sleep(CALM_S)
    sent = sum(len(one.sent) for one in lanes)
    report(f"{sent} events in {len(lanes)} rooms: none lost, none twice, all in order")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as folder, Server(split=True, masters=2) as server:
        try:
            asyncio.run(soak(server, Path(folder), rounds))
        except BaseException:
            sys.stderr.write(server.output(200))
            raise


if __name__ == "__main__":
    main()
