"""Reads an event that is to be pushed, with the names that people know its room and its sender by.

One event goes to many: the last ones are remembered for a moment.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from hs_common.bounded import Bounded
from hs_common.reading.unread import UNTHREADED
from hs_common.storage import push_queue, sync_rooms, sync_state
from hs_common.storage.push_queue import QueuedPush
from hs_common.storage.queries import Queries
from hs_workers.push.notification import PushedEvent

REMEMBERED_EVENTS: Final = 256
REMEMBERED_S: Final = 10.0
"""Names and redactions may change; what was pushed a moment ago cannot be taken back anyway."""

NAME, ALIAS, MEMBER = "m.room.name", "m.room.canonical_alias", "m.room.member"
# (type, state key) → content
_State = Mapping[tuple[str, str], Mapping[str, Any]]


class EventReading:
    """`seconds` is a clock that never goes back."""

    def __init__(self, db: Queries, seconds: Callable[[], float]) -> None:
        self._db = db
        self._seconds = seconds
        self._known = Bounded[str, tuple[float, PushedEvent | None]](REMEMBERED_EVENTS)

    async def of(self, row: QueuedPush, user_id: str, now: int) -> PushedEvent | None:
        """The event as the room is at position `now`. None: it was redacted, or the invite does not stand any more."""
        assert row.event_id is not None, "a row without an event has none to read"
        if row.thread_id == UNTHREADED:
            return await self._invite(row.room_id, row.event_id, user_id)
        known = self._known.get(row.event_id)
        if known is not None and self._seconds() - known[0] < REMEMBERED_S:
            return known[1]
        event = await self._event(row.room_id, row.event_id, now)
        self._known[row.event_id] = (self._seconds(), event)
        return event

    async def _event(self, room_id: str, event_id: str, now: int) -> PushedEvent | None:
        stored = await push_queue.event(self._db, event_id)
        if stored is None:
            return None
        pdu = orjson.loads(stored)
        wanted = ((NAME, ""), (ALIAS, ""), (MEMBER, pdu["sender"]))
        rows = await sync_state.entries(self._db, [(room_id, kind, key, now, now) for kind, key in wanted])
        places = {row[3]: (row[1], row[2]) for row in rows}
        state = {
            places[event_id]: orjson.loads(json)["content"]
            for event_id, _, _, _, json in await sync_rooms.events(self._db, list(places))
        }
        return _pushed(event_id, room_id, pdu, state)

    async def _invite(self, room_id: str, event_id: str, user_id: str) -> PushedEvent | None:
        stripped = await push_queue.invite(self._db, user_id, room_id, event_id)
        if stripped is None:
            return None
        stored = await push_queue.event(self._db, event_id)
        shown = [one for one in orjson.loads(stripped) if isinstance(one, dict)]
        of_user = (one for one in shown if (one.get("type"), one.get("state_key")) == (MEMBER, user_id))
        invite = orjson.loads(stored) if stored is not None else next(of_user, None)
        return None if invite is None else _pushed(event_id, room_id, invite, _by_key(shown))


def _by_key(events: Iterable[Any]) -> _State:
    return {
        (one["type"], one["state_key"]): one["content"]
        for one in events
        if isinstance(one.get("content"), dict)
        and isinstance(one.get("type"), str)
        and isinstance(one.get("state_key"), str)
    }


def _pushed(event_id: str, room_id: str, event: Mapping[str, Any], state: _State) -> PushedEvent:
    return PushedEvent(
        event_id,
        room_id,
        event["type"],
        event["sender"],
        event.get("state_key"),
        event["content"],
        _text(state, MEMBER, event["sender"], "displayname"),
        _text(state, NAME, "", "name"),
        _text(state, ALIAS, "", "alias"),
    )


def _text(state: _State, kind: str, key: str, name: str) -> str | None:
    value = state.get((kind, key), {}).get(name)
    return value if isinstance(value, str) and value else None
