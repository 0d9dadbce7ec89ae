"""What users of two servers do and wait for, whichever servers these are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.scenarios.client import Json, User, bodies

TRIES: Final = 150
PAUSE_S: Final = 0.1


async def until(what: Callable[[], Awaitable[Any]], tries: int = TRIES) -> Any:
    """What is answered once it is true."""
    for _ in range(tries):
        found = await what()
        if found:
            return found
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("it never came true")


async def sees(user: User, room_id: str, body: str, tries: int = TRIES) -> None:
    """A message is among the room's newest events."""

    async def look() -> bool:
        page = await user.messages(room_id, dir="b", limit=50)
        return body in bodies(page["chunk"])

    await until(look, tries)


async def membership(user: User, room_id: str, of: str) -> Any:
    """Somebody's membership as a user sees it."""
    answer = await user.ask("GET", ("rooms", room_id, "state", "m.room.member", of))
    return answer.body.get("membership")


async def becomes(user: User, room_id: str, of: str, value: str) -> None:
    """Somebody's membership becomes this."""

    async def look() -> bool:
        return bool(await membership(user, room_id, of) == value)

    await until(look)


async def rooms(user: User, kind: str) -> Json:
    """The rooms of one kind (join, invite, …) in a first sync."""
    user.since = None
    found: Json = (await user.sync()).get("rooms", {}).get(kind, {})
    return found


async def gets(user: User, kind: str, room_id: str) -> None:
    """A room comes among those of a kind."""

    async def look() -> bool:
        return room_id in await rooms(user, kind)

    await until(look)


async def loses(user: User, kind: str, room_id: str) -> None:
    """A room goes from those of a kind."""

    async def look() -> bool:
        return room_id not in await rooms(user, kind)

    await until(look)
