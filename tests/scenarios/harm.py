"""Ways to harm a running split, each of which waits until the server is whole again without touching it."""

import signal
import time
from typing import Final

from tests.scenarios.server import Server

LIMIT_S: Final = 60.0
_FLUSHES, _BETWEEN_S = 3, 0.3


def kill(server: Server, name: str) -> None:
    """Ends a process without warning: one by its name ("client-1", "redis"), the "leader" or a "standby"."""
    name = _master(server, leads=name == "leader") if name in ("leader", "standby") else name
    killed = server.signal(name, signal.SIGKILL)
    server.wait_for_restart(name, killed, LIMIT_S)
    server.wait_until(server.is_whole, f"whole after the end of {name}", LIMIT_S)


def forget_redis(server: Server) -> None:
    """Redis loses all it has, some times in a row."""
    for _ in range(_FLUSHES):
        server.redis().flushall()
        time.sleep(_BETWEEN_S)
    server.wait_until(server.is_whole, "whole after Redis forgot everything", LIMIT_S)


def _master(server: Server, *, leads: bool) -> str:
    leader = server.leader()
    assert leader is not None, "nobody leads"
    if leads:
        return leader.name
    return next(one.name for one in server.masters() if one.name != leader.name)
