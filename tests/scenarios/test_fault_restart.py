"""The whole server ends and starts again on its data, in order or by kill -9, under a load that goes on trying."""

import asyncio
import signal

import pytest

from tests.scenarios.client import http_session
from tests.scenarios.load import Load, spread
from tests.scenarios.server import Server

RESTART_LIMIT_S = 60.0
_BEFORE, _AFTER = 40, 40


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_everything_acknowledged_is_there_after_a_restart(server: Server, with_signal: signal.Signals) -> None:
    """Sessions, sync tokens and transaction ids go on as if nothing had been."""

    async def play() -> None:
        async with http_session() as http:
            load = await Load.prepared(http, spread(server.url, server.worker_urls()))
            load.start()
            await load.until_acknowledged(_BEFORE, RESTART_LIMIT_S)
            await asyncio.to_thread(server.stop, with_signal)
            server.start()
            await asyncio.to_thread(server.wait_until_up)
            await load.until_acknowledged(_AFTER, RESTART_LIMIT_S)
            await load.stop()
            await load.check()

    asyncio.run(play())
