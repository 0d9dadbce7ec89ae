"""A push gateway for plays: a little HTTP server that notes what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.scenarios.client import Json, User

NOTIFY = "/_matrix/push/v1/notify"
LIMIT_S = 30.0


class Gateway:
    """`received`: the notifications, as they came. `rejected`: keys that it wants to hear nothing of."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Json] = []
        self.rejected: list[str] = []
        self._came = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self._came:
            self.received.append(body["notification"])
            self._came.notify_all()
        return web.json_response({"rejected": self.rejected})

    async def until(self, seen: Callable[["Gateway"], bool]) -> None:
        """Waits until what is looked for has come."""
        async with self._came:
            waiting = self._came.wait_for(lambda: seen(self))
            await asyncio.wait_for(waiting, LIMIT_S)

    def events(self, pushkey: str) -> list[str]:
        """The events that one pusher was told of, in order."""
        return [
            one["event_id"] for one in self.received if "event_id" in one and one["devices"][0]["pushkey"] == pushkey
        ]


@asynccontextmanager
async def push_gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    application = web.Application()
    application.router.add_post(NOTIFY, gateway.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}{NOTIFY}"
    try:
        yield gateway
    finally:
        await runner.cleanup()


async def set_pusher(user: User, gateway: Gateway, pushkey: str, **data: str) -> None:
    """The user's device has a pusher to the gateway."""
    body = {
        "app_id": "org.app",
        "pushkey": pushkey,
        "kind": "http",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": gateway.url, **data},
    }
    await user.post(("pushers", "set"), body)
