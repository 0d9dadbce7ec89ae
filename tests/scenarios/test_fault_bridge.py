"""A bridge in full flood while processes are killed: no event lost, none under a second transaction id, order kept.

All kinds of processes, again and again: `tests/bridges/run kills`.
"""

import asyncio
from pathlib import Path

from tests.scenarios.bridge_load import flood
from tests.scenarios.harm import forget_redis, kill
from tests.scenarios.server import Server

_ROOMS = 6
_CALM_S = 1.0
_KILLED = ("leader", "appservice-1", "redis", "client-1")


def test_nothing_is_lost_or_told_twice_while_processes_are_killed(split: Server, tmp_path: Path) -> None:
    async def play() -> None:
        async with flood(split, tmp_path, _ROOMS) as lanes:
            for name in _KILLED:
                await asyncio.sleep(_CALM_S)
                await asyncio.to_thread(kill, split, name)
            await asyncio.sleep(_CALM_S)
            await asyncio.to_thread(forget_redis, split)
            await asyncio.sleep(_CALM_S)
            assert sum(len(one.sent) for one in lanes) > _ROOMS * len(_KILLED)

    asyncio.run(play())
