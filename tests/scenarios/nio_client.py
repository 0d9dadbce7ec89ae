"""matrix-nio as a user's client, with its requests spread over the processes that take them."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from nio import AsyncClient, AsyncClientConfig, ErrorResponse, SyncResponse

from tests.scenarios.client import LONG_POLL_MS, PASSWORD, REQUEST_LIMIT_S, SYNC_ROUNDS, unique

_Response = TypeVar("_Response")


class SpreadClient(AsyncClient):  # type: ignore[misc]  # nio has no annotations
    """An AsyncClient that sends each request to another of the server's processes."""

    def __init__(self, urls: Sequence[str], name: str, store: str = "") -> None:
        """`store`: a folder for keys; without one nothing is encrypted."""
        config = AsyncClientConfig(
            max_limit_exceeded=0, max_timeouts=0, request_timeout=REQUEST_LIMIT_S, encryption_enabled=bool(store)
        )
        super().__init__(urls[0], name, store_path=store, config=config)
        self._urls = list(urls)

    async def send(self, *arguments: Any, **options: Any) -> Any:
        self.homeserver = random.choice(self._urls)
        return await super().send(*arguments, **options)

    async def sync_until(self, seen: Callable[[SyncResponse], Any]) -> SyncResponse:
        """Long polls until an answer has what is looked for; answers that one."""
        for _ in range(SYNC_ROUNDS):
            response = good(await self.sync(timeout=LONG_POLL_MS), SyncResponse)
            if seen(response):
                return response
        raise AssertionError(f"{self.user_id} never sees it")


def good(response: object, kind: type[_Response]) -> _Response:
    """The response, which must be of the class that nio makes of a success."""
    assert not isinstance(response, ErrorResponse), str(response)
    assert isinstance(response, kind), repr(response)
    return response


@asynccontextmanager
async def registered(urls: Sequence[str], name: str, store: str = "") -> AsyncIterator[SpreadClient]:
    """A client with a new account whose name begins with `name`."""
    client = SpreadClient(urls, unique(name), store)
    try:
        response = await client.register(client.user, PASSWORD, device_name="play")
        assert not isinstance(response, ErrorResponse), str(response)
        yield client
    finally:
        await client.close()
