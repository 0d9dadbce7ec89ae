"""Processes and services of a split die, freeze or forget under a steady load, one at a time; everything heals alone.

Each test harms one thing, waits until the server is whole again without touching it, lets the load run on, and then
holds what every client heard against what was acknowledged.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.scenarios.client import http_session
from tests.scenarios.load import Load, spread
from tests.scenarios.server import Server

HEAL_LIMIT_S = 30.0  # the supervisor's pauses, a new process' start and its members row, on a busy machine
FROZEN_S = 15.0
REDIS_FROZEN_S = 6.0
_BEFORE, _AFTER = 40, 80  # messages acknowledged before the harm, and after the server is whole again

Harm = Callable[[], Awaitable[None]]


def under_load(split: Server, harm: Harm) -> None:
    """Run the load, do harm, and see that nobody noticed more than a delay."""

    async def play() -> None:
        async with http_session() as http:
            load = await Load.prepared(http, spread(split.url, split.worker_urls()))
            load.start()
            await load.until_acknowledged(_BEFORE, HEAL_LIMIT_S)
            await harm()
            await asyncio.to_thread(split.wait_until, split.is_whole, "the server is whole", HEAL_LIMIT_S)
            await load.until_acknowledged(_AFTER, HEAL_LIMIT_S)
            await load.stop()
            await load.check()

    split.wait_until(split.is_whole, "the server is whole", HEAL_LIMIT_S)
    asyncio.run(play())


async def killed(split: Server, name: str) -> None:
    """Kill the process of that name and wait until another one took its place."""
    old = split.signal(name, signal.SIGKILL)
    await asyncio.to_thread(split.wait_for_restart, name, old, HEAL_LIMIT_S)


def test_nothing_harmed_is_the_measure(split: Server) -> None:
    async def harm() -> None:
        await asyncio.sleep(0)

    under_load(split, harm)


def test_sync_worker_killed(split: Server) -> None:
    under_load(split, lambda: killed(split, "sync-1"))


def test_client_worker_killed(split: Server) -> None:
    under_load(split, lambda: killed(split, "client-1"))


def test_front_door_killed(split: Server) -> None:
    under_load(split, lambda: killed(split, "front-1"))


def test_redis_killed(split: Server) -> None:
    under_load(split, lambda: killed(split, "redis"))


def test_redis_forgets_everything(split: Server) -> None:
    async def harm() -> None:
        for _ in range(3):
            split.redis().flushall()
            await asyncio.sleep(0.5)

    under_load(split, harm)


def test_redis_frozen_and_thawed(split: Server) -> None:
    """Nobody hears anything through Redis: followers find out for themselves, and nobody waits for the publisher."""

    async def harm() -> None:
        split.signal("redis", signal.SIGSTOP)
        try:
            await asyncio.sleep(REDIS_FROZEN_S)
        finally:
            split.signal("redis", signal.SIGCONT)

    under_load(split, harm)


def test_leader_killed(split: Server) -> None:
    async def harm() -> None:
        leader = split.leader()
        assert leader is not None
        old = split.signal(leader.name, signal.SIGKILL)
        await asyncio.to_thread(
            split.wait_until, lambda: split.leader() not in (leader, None), "the standby leads", HEAL_LIMIT_S
        )
        await asyncio.to_thread(split.wait_for_restart, leader.name, old, HEAL_LIMIT_S)

    under_load(split, harm)


def test_leader_frozen_and_thawed(split: Server) -> None:
    async def harm() -> None:
        leader = split.leader()
        assert leader is not None
        split.signal(leader.name, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_S)
            assert split.leader() not in (leader, None), "nobody took over from a frozen leader"
        finally:
            split.signal(leader.name, signal.SIGCONT)

    under_load(split, harm)


def test_postgresql_restarted(split: Server) -> None:
    async def harm() -> None:
        old = split.signal("postgres", signal.SIGINT)  # a fast shutdown: every connection is cut
        await asyncio.to_thread(split.wait_for_restart, "postgres", old, HEAL_LIMIT_S)

    under_load(split, harm)


def test_postgresql_killed(split: Server) -> None:
    """Without a checkpoint: it comes back by its own recovery, and what was acknowledged is there."""
    under_load(split, lambda: killed(split, "postgres"))
