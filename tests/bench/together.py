"""Preparing in company: something for many items, a few at a time, each again when it fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from tests.bench.work import FAILURES

AT_ONCE = 16  # enough to fill the server's batches
_ATTEMPTS = 4
_PAUSE_S = 0.5
_Item = TypeVar("_Item")


async def each(items: Iterable[_Item], action: Callable[[_Item], Awaitable[Any]]) -> None:
    """Do something for every item, a few at a time, each again when it fails. Raises what fails to the end."""
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await persistently(lambda item=item: action(item))  # type: ignore[misc]

    async with asyncio.TaskGroup() as lanes:
        for _ in range(AT_ONCE):
            lanes.create_task(lane())


async def persistently(action: Callable[[], Awaitable[Any]], attempts: int = _ATTEMPTS) -> None:
    """Try again after a pause when something fails: preparing may meet a server that has just started."""
    for attempt in range(attempts):
        try:
            await action()
        except FAILURES:
            if attempt == attempts - 1:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return
