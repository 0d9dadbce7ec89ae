"""What plays of two servers have in common: waiting until the other one knows, and looking at what it knows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.scenarios.client import Json, User

VERSIONS: Final = ("6", "9", "10", "11", "12")
"""Room versions that matter today."""
ARRIVES_S: Final = 20.0  # between two servers at leisure it takes tenths of a second
_LOOK_S: Final = 0.1


def server_of(user: User) -> str:
    return user.user_id.partition(":")[2]


async def until(look: Callable[[], Awaitable[Any]], what: str, limit_s: float = ARRIVES_S) -> Any:
    """The first true answer of `look`."""
    end = time.monotonic() + limit_s
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {limit_s} s"
        await asyncio.sleep(_LOOK_S)


async def membership(user: User, room_id: str, other: User) -> str | None:
    """As this user's server has it; None if it tells nothing."""
    answer = await user.ask("GET", ("rooms", room_id, "state", "m.room.member", other.user_id))
    return answer.body.get("membership") if answer.status == 200 else None


async def content(user: User, room_id: str, kind: str, key: str = "") -> Json:
    """Of a state event; empty if there is none, or the server tells nothing."""
    answer = await user.ask("GET", ("rooms", room_id, "state", kind, key))
    return dict(answer.body) if answer.status == 200 else {}


async def state(user: User, room_id: str) -> dict[tuple[str, str], str]:
    """The whole state: place → event id."""
    events = await user.get(("rooms", room_id, "state"))
    return {(event["type"], event["state_key"]): event["event_id"] for event in events}


async def texts(user: User, room_id: str) -> list[str]:
    """All messages that the user may see, the oldest first."""
    events = await user.history(room_id, page=50)
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message" and event["content"]]


async def said(user: User, room_id: str, text: str) -> None:
    """Waits until the user sees a message."""

    async def look() -> bool:
        return text in await texts(user, room_id)

    await until(look, f"{user.user_id} sees {text!r}")


async def becomes(user: User, room_id: str, other: User, wanted: str) -> None:
    """Waits until the other user has a membership at this user's server."""

    async def look() -> bool:
        return await membership(user, room_id, other) == wanted

    await until(look, f"{other.user_id} is {wanted} for {user.user_id}")


async def meet(host: User, guest: User, **options: Any) -> str:
    """A public room of the host's that the guest has joined."""
    room_id = await host.create_room(preset="public_chat", **options)
    await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
    await becomes(host, room_id, guest, "join")
    return room_id


async def section(user: User, name: str, room_id: str) -> Json:
    """Waits until a sync of the user tells of the room in a section (invite, knock, leave)."""
    found: Json = {}

    async def look() -> bool:
        found.update((await user.sync()).get("rooms", {}).get(name, {}).get(room_id, {}))
        return bool(found)

    await until(look, f"{user.user_id} hears of {room_id} under {name}")
    return found
