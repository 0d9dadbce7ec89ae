"""The general way to an answer: from Postgres, for any token, a handful of statements whatever the number of rooms.

Everything is read at one position: what is newer comes with the next answer. The order of reading is: memberships,
hence the windows (pure); timelines; the state that goes with them; the rest; then the body is assembled (pure).

Spec: client-server API, #get_matrixclientv3sync.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.receipts_edu import Receipt
from hs_common.matrix.tokens import SyncToken
from hs_common.process.background import Background
from hs_common.reading.device_lists import device_lists_between
from hs_common.reading.load_unread import UnreadCounter
from hs_common.reading.settings import PUSH_RULES, Settings, push_rules_content
from hs_common.reading.unread import RoomUnread, rows_to_keep
from hs_common.replication.ephemeral_view import Changes, EphemeralView
from hs_common.storage import device_lists, sync_personal, sync_rooms, unread
from hs_common.storage.queries import Queries
from hs_workers.sync import ephemeral, windows
from hs_workers.sync.answer import Answer, Parts, RoomParts, account_data_event, assemble
from hs_workers.sync.devices import NOTHING, DeviceNews
from hs_workers.sync.event_json import EventFormat, event_of
from hs_workers.sync.event_parts import EventParts, Related
from hs_workers.sync.load_relations import RelationLoader
from hs_workers.sync.load_state import RoomStates, load_states
from hs_workers.sync.load_timelines import acceptance, load_timelines
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.parameters import Reader, Wishes
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.room_state import MEMBER
from hs_workers.sync.room_summaries import RoomSummaries
from hs_workers.sync.room_versions import RoomVersions
from hs_workers.sync.timeline import Timeline
from hs_workers.sync.windows import Membership, Plan, Window


class Question(NamedTuple):
    """What is to be answered. `lost`: the client's history was lost with a part of the log, so it holds too much.

    `device` is what the answer tells the reader's device about itself. `held`: the token that the client itself asked
    with, where its wait has gone on from there without an answer.
    """

    reader: Reader
    wishes: Wishes
    settings: Settings
    since: SyncToken | None
    now: int
    lost: bool = False
    device: DeviceNews = NOTHING
    held: SyncToken | None = None

    @property
    def start(self) -> int | None:
        """The position after which the client wants to be told."""
        return None if self.since is None else self.since.position

    @property
    def held_token(self) -> str | None:
        """What the client has is known by this token: it has seen no other one since."""
        token = self.held or self.since
        return None if token is None else str(token)


class GeneralWay:
    """Answers questions from Postgres."""

    def __init__(
        self,
        db: Queries,
        view: EphemeralView,
        members_sent: MembersSent,
        now_ms: Callable[[], int],
        background: Background,
    ) -> None:
        self._db = db
        self._view = view
        self._members_sent = members_sent
        self._now_ms = now_ms
        self._background = background
        self._versions = RoomVersions(db)
        self._summaries = RoomSummaries(db)

    async def answer(self, question: Question) -> tuple[Answer, Mapping[str, RoomUnread]]:
        """The answer, and the reader's counts of the rooms in it."""
        changes = self._view.changes_since(ephemeral.counter_of(question.since))
        counter = self._view.next_token(ephemeral.counter_of(question.since))
        plan = await self._plan(question)
        versions = await self._versions.of(window.room_id for window in plan.windows)
        reading = _Reading(self._db, question, plan, versions, self._now_ms())
        told = await reading.timelines()
        held = question.held_token
        known = self._members_sent.known(question.reader.user_id, question.reader.device_id, held)
        states = await load_states(self._db, self._summaries, told, question.wishes, question.reader.user_id, known)
        rooms = await reading.rooms(told, states)
        parts = Parts(list(rooms.values()), plan.invites, plan.knocks)
        if question.start is not None:
            lists = await device_lists_between(self._db, question.reader.user_id, question.start, question.now)
            parts.device_lists = {"changed": lists.changed, "left": lists.left}
        await self._add_ephemeral(question, parts, changes, () if question.start is None else lists.came)
        await reading.add_receipts(rooms, told)
        await reading.add_account_data(parts, rooms)
        counts = await reading.add_unread(parts)
        if reading.to_keep:
            rows = reading.to_keep
            self._background("keep unread counts", unread.keep(self._db, question.reader.user_id, rows))
        question.device.add_to(parts)
        next_batch = ephemeral.with_counter(question.now, question.device.next_number(question.since), counter)
        answer = assemble(
            parts,
            next_batch,
            question.wishes.filter,
            question.reader.user_id,
            use_state_after=question.wishes.use_state_after,
            incremental=question.since is not None,
        )
        if question.wishes.lazy:
            sent = _members(told, states)
            self._members_sent.sent(question.reader.user_id, question.reader.device_id, held, str(next_batch), sent)
        return answer, counts

    async def _plan(self, question: Question) -> Plan:
        user_id, start, now = question.reader.user_id, question.start, question.now
        full = question.wishes.full_state
        after = -1 if start is None or full else start
        rows = [Membership(*row) for row in await sync_rooms.memberships(self._db, user_id, after, now)]
        plan = windows.plan(
            rows,
            start,
            now,
            question.wishes.filter.room,
            full_state=full,
            hides_invite=lambda row: question.settings.hides_invite(row.sender),
        )
        fresh = [window.room_id for window in plan.windows if window.fresh] if after >= 0 else []
        if fresh:  # who is told of a room as if for the first time is judged by all his memberships of it
            spans: dict[str, list[tuple[int, int, str]]] = {}
            for row in await sync_rooms.all_memberships(self._db, user_id, fresh, now):
                member = Membership(*row)
                if not member.out_of_band:
                    spans.setdefault(member.room_id, []).append((member.from_pos, member.to_pos, member.membership))
            plan = replace(plan, windows=[_with_spans(window, spans) for window in plan.windows])
        return plan

    async def _add_ephemeral(self, question: Question, parts: Parts, changes: Changes, came: Collection[str]) -> None:
        joined = {room.window.room_id: room for room in parts.rooms if not room.window.is_left}
        fresh = {room_id for room_id, room in joined.items() if room.window.fresh}
        typing = ephemeral.typing_events(
            self._view,
            changes,
            joined,
            fresh,
            was_told=ephemeral.counter_of(question.since) > 0,
            ignored=question.settings.ignored,
        )
        for room_id, event in typing.items():
            joined[room_id].typing = event
        if question.wishes.filter.presence.types.allows("m.presence"):
            parts.presence = await self._presence(question, changes.user_ids, came)

    async def _presence(self, question: Question, changed: list[str], came: Collection[str]) -> list[dict[str, Any]]:
        """Of those whose presence changed, and of those who came to share a room, unless they are offline: that is what
        the client assumes."""
        me, allows = question.reader.user_id, question.wishes.filter.presence.senders.allows
        own = {me} if allows(me) else set()
        others = {one for one in {*changed, *came} - question.settings.ignored - {me} if allows(one)}
        asked = [one for one in changed if one in others]
        watched = await device_lists.sharing(self._db, me, asked, question.now) if asked else set()
        shown = [one for one in changed if one in watched | own]
        now_ms, incremental = self._now_ms(), question.since is not None
        new = sorted(others.intersection(came) - watched)
        return [
            *ephemeral.presence_events(self._view, shown, now_ms, incremental=incremental),
            *ephemeral.presence_events(self._view, new, now_ms, incremental=False),
        ]


class _Reading:
    """What is read for one answer once its windows are known."""

    def __init__(self, db: Queries, question: Question, plan: Plan, versions: Mapping[str, str], now_ms: int) -> None:
        self._db = db
        self._question = question
        self._plan = plan
        self._versions = versions
        self._now_ms = now_ms
        self._rights = ReadingRights(question.reader.user_id)
        self._format = EventFormat(question.wishes.filter)
        self.to_keep: list[tuple[str, str, int, int, int, int]] = []

    async def timelines(self) -> list[Timeline]:
        """The timelines of all windows."""
        filter = self._question.wishes.filter.room.timeline
        accept = acceptance(filter, self._question.settings, self._rights)
        told = await load_timelines(self._db, self._plan.windows, filter, accept, self._rights)
        return [one._replace(limited=True) for one in told] if self._question.lost else told

    async def rooms(self, told: Sequence[Timeline], states: RoomStates) -> dict[str, RoomParts]:
        """The rooms with their timelines, states and summaries."""
        events = {
            one.row.event_id: one.event(self._versions.get(one.row.room_id, "1"))
            for timeline in told
            for one in timeline.events
        }
        ids = {row.event_id for rows in states.chosen.values() for row in rows}
        stored = {row[0]: row for row in await sync_rooms.events(self._db, list(ids))} if ids else {}
        parts = EventParts(
            self._question.reader,
            self._format,
            self._rights,
            await self._related(told, events, stored.values()),
            self._now_ms,
        )
        return {
            timeline.window.room_id: RoomParts(
                timeline.window,
                timeline=[parts.in_timeline(timeline.window, one, events[one.row.event_id]) for one in timeline.events],
                limited=timeline.limited,
                prev_batch=timeline.prev_batch,
                state=[
                    shown
                    for row in states.chosen.get(timeline.window.room_id, ())
                    # An event is gone if its room is just being deleted.
                    if row.event_id in stored and (shown := self._state_event(stored[row.event_id], parts)) is not None
                ],
                summary=states.summaries.get(timeline.window.room_id),
                is_news=timeline.window.fresh or timeline.window.is_left or self._question.wishes.full_state,
            )
            for timeline in told
        }

    def _state_event(self, row: Sequence[Any], parts: EventParts) -> orjson.Fragment | None:
        event_id, room_id, replaces_state, redacted_by, json = row
        event = event_of(orjson.loads(json), event_id, self._versions.get(room_id, "1"))
        if not self._question.wishes.filter.room.state.allows_event(event.type, event.sender, event.content):
            return None
        return parts.in_state(event, replaces_state, redacted_by)

    async def _related(
        self, told: Sequence[Timeline], events: Mapping[str, Event], stored: Iterable[Sequence[Any]]
    ) -> Related:
        rows = [one.row for timeline in told for one in timeline.events]
        rooms = {row.redacted_by: row.room_id for row in rows if row.redacted_by is not None}
        rooms |= {row.replaces_state: row.room_id for row in rows if row.replaces_state is not None}
        rooms |= {row[3]: row[1] for row in stored if row[3] is not None}
        found = {
            row[0]: event_of(orjson.loads(row[4]), row[0], self._versions.get(row[1], "1"))
            for row in (await sync_rooms.events(self._db, list(rooms)) if rooms else ())
        }
        # Without a hole in front of them clients add up by themselves what relates to events.
        parents = {
            one.row.event_id: events[one.row.event_id]
            for timeline in told
            if timeline.limited or timeline.window.fresh
            for one in timeline.events
        }
        question = self._question
        ignored = list(question.settings.ignored)
        loader = RelationLoader(self._db, question.reader.user_id, ignored, question.now, self._now_ms, self._format)
        redacted = {row.event_id for row in rows if row.redacted_by is not None}
        return Related(found, await loader.load(parents, redacted))

    async def add_receipts(self, rooms: Mapping[str, RoomParts], told: Sequence[Timeline]) -> None:
        """Those set inside the window; of a room told anew those of the events told, and the reader's own."""
        joined = [timeline for timeline in told if not timeline.window.is_left]
        fresh = [timeline for timeline in joined if timeline.window.fresh]
        others = [timeline.window for timeline in joined if not timeline.window.fresh]
        now, user_id = self._question.now, self._question.reader.user_id
        rows: list[Any] = []
        if others:
            since = [window.since for window in others]
            rows += await sync_personal.new_receipts(self._db, [window.room_id for window in others], since, now)
        if fresh:
            room_ids = [timeline.window.room_id for timeline in fresh]
            oldest = [timeline.start + 1 for timeline in fresh]
            rows += await sync_personal.receipts_of_events(self._db, room_ids, oldest, user_id, now)
        receipts: dict[str, list[Receipt]] = {}
        for room_id, reader, receipt_type, thread_id, event_id, ts, _ in rows:
            if reader == user_id or (receipt_type == "m.read" and reader not in self._question.settings.ignored):
                receipt = Receipt(room_id, receipt_type, reader, event_id, ts, thread_id or None)
                receipts.setdefault(room_id, []).append(receipt)
                if reader == user_id:
                    rooms[room_id].is_news = True  # the counts changed with it, whatever the filter leaves of it
        for room_id, found in receipts.items():
            rooms[room_id].receipts = found

    async def add_account_data(self, parts: Parts, rooms: Mapping[str, RoomParts]) -> None:
        """What changed, global and of the rooms told; all of what is told anew."""
        question = self._question
        start = -1 if question.start is None else question.start
        fresh = [room_id for room_id, room in rooms.items() if room.window.fresh]
        user_id = question.reader.user_id
        rows = await sync_personal.account_data(self._db, user_id, start, question.now, fresh)
        by_room: dict[str, list[tuple[str, str | bytes]]] = {}
        contents: dict[str, str | bytes] = {}
        for room_id, data_type, content, _ in rows:
            if room_id == "":
                contents[data_type] = content
            else:
                by_room.setdefault(room_id, []).append((data_type, content))
        if PUSH_RULES in contents or question.since is None:
            contents[PUSH_RULES] = orjson.dumps(push_rules_content(user_id, contents.get(PUSH_RULES)))
        wanted = question.wishes.filter.account_data
        parts.account_data = [
            account_data_event(data_type, content)
            for data_type, content in contents.items()
            if wanted.allows(data_type, None)
        ]
        for room_id, found in by_room.items():
            if room_id in rooms:
                rooms[room_id].account_data = found

    async def add_unread(self, parts: Parts) -> Mapping[str, RoomUnread]:
        """The counts of the joined rooms that have something to tell."""
        question = self._question
        told = [room for room in parts.rooms if not room.window.is_left and _has_news(room)]
        joined_at = {room.window.room_id: _joined_at(room.window) for room in told}
        counter = UnreadCounter(self._db, question.reader.user_id, question.settings, self._versions, question.now)
        counts = await counter.count(joined_at)
        for room in told:
            room.unread = counts[room.window.room_id]
        if counter.to_keep:
            self.to_keep = rows_to_keep(counter.to_keep)
        return counts


def _has_news(room: RoomParts) -> bool:
    parts = (room.timeline, room.limited, room.state, room.summary, room.receipts, room.typing, room.account_data)
    return room.is_news or any(parts)


def _joined_at(window: Window) -> int:
    return max((from_pos for from_pos, _, membership in window.spans if membership == "join"), default=0)


def _with_spans(window: Window, spans: Mapping[str, list[tuple[int, int, str]]]) -> Window:
    return replace(window, spans=tuple(spans.get(window.room_id, ()))) if window.fresh else window


def _members(told: Iterable[Timeline], states: RoomStates) -> dict[tuple[str, str], str]:
    """The members that the answer tells, by room and user: those of its state and, over them, of its timelines."""
    members = {
        (row.room_id, row.state_key): row.event_id
        for rows in states.chosen.values()
        for row in rows
        if row.type == MEMBER
    }
    for timeline in told:
        for one in timeline.events:
            if one.row.type == MEMBER and one.row.state_key is not None:
                members[one.row.room_id, one.row.state_key] = one.row.event_id
    return members
