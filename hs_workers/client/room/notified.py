"""Finds the events that notified a user, by his rules as they are now, over all his rooms from the newest back.

Where only predefined rules can highlight, the index of mentions answers for highlights; else events are looked through,
a bounded number for each answer: the page is short then, and the next goes on from there.

Spec: client-server API, #get_matrixclientv3notifications.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from hs_common.http.request import Requester
from hs_common.matrix.push_actions import Actions
from hs_common.matrix.push_rule_evaluation import CompiledRules
from hs_common.matrix.push_rule_evaluation import Reader as PushReader
from hs_common.matrix.push_rules import MENTIONED, reader_bits
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.load_unread import UnreadCounter
from hs_common.reading.push_facts import RoomFacts, room_facts
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.room_view import RoomViews
from hs_common.reading.settings import Settings
from hs_common.reading.stored_event import StoredEvent
from hs_common.reading.unread import MAIN, RoomUnread
from hs_common.storage import log, notifications, unread
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.reading import reader_of

CHUNK: Final = 100
MAXIMUM_LOOKED_AT: Final = 2_000
"""Events judged for one answer: some tens of milliseconds."""

# The masks of the rules that the index of highlights knows of: mentions, room mentions, tombstones.
_HIGHLIGHTING: Final = (MENTIONED, 1 << 3, 1 << 4)

_Notified = tuple[StoredEvent, Actions]


class Notified:
    """Answers pages of notifications."""

    def __init__(self, db: Queries, views: RoomViews, events: ClientEvents) -> None:
        self._db = db
        self._views = views
        self._events = events
        self._settings = ReaderSettings(db)

    async def page(
        self, requester: Requester, before: int, limit: int, *, only_highlights: bool = False
    ) -> dict[str, Any]:
        """At most `limit` notifications of events before a position."""
        user_id, now = requester.user_id, await log.head(self._db)
        rooms = await unread.joined_rooms(self._db, user_id, None)
        joined_at = {room_id: pos for room_id, pos, _ in rooms if pos <= now}
        versions = {room_id: version for room_id, _, version in rooms}
        settings = await self._settings.fresh(user_id)
        found, next_before = await self._find(
            user_id, settings, joined_at, versions, min(before, now + 1), limit, only_highlights
        )
        counter = UnreadCounter(self._db, user_id, settings, versions, now)
        bounds = await counter.bounds({event.room_id: joined_at[event.room_id] for event, _ in found})
        answer: dict[str, Any] = {"notifications": await self._shown(requester, found, bounds)}
        if next_before is not None:
            answer["next_token"] = str(next_before)
        return answer

    async def _find(
        self,
        user_id: str,
        settings: Settings,
        joined_at: Mapping[str, int],
        versions: Mapping[str, str],
        before: int,
        limit: int,
        only_highlights: bool,
    ) -> tuple[list[_Notified], int | None]:
        """The notifications, and the position to go on before; None: there are no more."""
        uses_index = only_highlights and not _may_highlight_otherwise(settings.push_rules)
        read = notifications.highlights if uses_index else notifications.newest
        found: list[_Notified] = []
        for _ in range(0, MAXIMUM_LOOKED_AT, CHUNK):
            rows = await read(self._db, user_id, joined_at, before, CHUNK)
            for event, actions in await self._judged(user_id, settings, versions, rows):
                if actions.highlight or not only_highlights:
                    found.append((event, actions))
                    if len(found) == limit:
                        return found, event.order_pos
            if len(rows) < CHUNK:
                return found, None
            before = rows[-1][1]
        return found, before

    async def _judged(
        self, user_id: str, settings: Settings, versions: Mapping[str, str], rows: Sequence[Row]
    ) -> list[_Notified]:
        judged = []
        facts: dict[str, RoomFacts] = {}
        for *row, bits, mentioned in rows:
            event = StoredEvent(ROOM_VERSIONS[versions[row[0]]], tuple(row))
            if event.sender in settings.ignored or event.redacted_by is not None:
                continue
            is_target = event.type == "m.room.member" and event.state_key == user_id
            bits |= reader_bits(mentioned=mentioned, is_target=is_target)
            rules, room_id = settings.push_rules, event.room_id
            actions = rules.judge(bits, room_id, event.sender, PushReader(user_id))
            if actions is None:
                if room_id not in facts:
                    facts |= await room_facts(self._db, [room_id], [user_id], versions, event.order_pos)
                seen = facts[room_id].of({**orjson.loads(event.json), "event_id": event.event_id, "room_id": room_id})
                actions = rules.judge(bits, room_id, event.sender, facts[room_id].reader(user_id), seen)
            if actions is not None and actions.notify:
                judged.append((event, actions))
        return judged

    async def _shown(
        self, requester: Requester, found: Sequence[_Notified], bounds: Mapping[str, RoomUnread]
    ) -> list[dict[str, Any]]:
        by_room: dict[str, list[StoredEvent]] = {}
        for event, _ in found:
            by_room.setdefault(event.room_id, []).append(event)
        encoded: dict[str, bytes] = {}
        for room_id, events in by_room.items():
            view = await self._views.view(room_id, reader_of(requester))
            if view is None:
                continue
            await self._views.learn(view, events)
            visible = [event for event in events if view.may_see(event)]
            for event, json in zip(visible, await self._events.encoded(view, visible), strict=True):
                encoded[event.event_id] = json
        return [
            {
                "actions": actions.as_json(),
                "event": orjson.Fragment(encoded[event.event_id]),
                "read": bounds[event.room_id].bound(event.thread_root or MAIN) >= event.order_pos,
                "room_id": event.room_id,
                "ts": event.origin_server_ts,
            }
            for event, actions in found
            if event.event_id in encoded
        ]


def _may_highlight_otherwise(rules: CompiledRules) -> bool:
    """Whether an event can highlight that mentions neither the user nor the room, and does not end it."""
    keyed = (*rules.rooms.values(), *rules.senders.values())
    own = [step.actions for step in (*rules.first, *rules.last) if step.mask not in _HIGHLIGHTING]
    return any(actions.highlight for actions in (*keyed, *own))
