"""What one call adds to a batch (`Step`), and the batch it is added to (`Draft`).

A decision writes into a Step: rows for tables, items for the log, drafts of rooms. A step that fails is dropped whole;
one that succeeds is merged into the Draft, which the writer commits. Positions are counted here, from the writer's
number. Knows neither SQL nor I/O.
"""

from collections.abc import Iterable
from typing import Any, Final

from hs_common.matrix.appservice import Services
from hs_common.matrix.event import Event
from hs_common.replication import items
from hs_master.intervals import IntervalChange, Intervals, Key, Values
from hs_master.log_store.types import Write
from hs_master.rooms.head import Held, NotLoaded, RoomDraft, RoomHead

# Rooms whose heads stay in memory; a head without members costs some 4 KiB.
MAXIMUM_HEADS: Final = 5000
# Users whose name and avatar stay in memory: those that were made or changed lately, or joined; some 10 MiB.
MAXIMUM_PROFILES: Final = 20_000

_Rows = dict[Write, list[tuple[object, ...]]]
# (parent event id, sender, event type, key): what may exist once (M_DUPLICATE_ANNOTATION).
Annotation = tuple[str, str, str, str]
Profile = dict[str, Any]  # what of it stands in member events: `displayname` and `avatar_url`, where set


class IntervalTable:
    """An interval table: the statement that ends what an earlier batch began, and the one that begins."""

    def __init__(self, close: Write, begin: Write) -> None:
        self.close = close
        self.begin = begin


class KnownEvent:
    """An event that others refer to (relations, redactions, receipts), with its place in the timeline."""

    __slots__ = ("event", "order_pos", "order_sub", "redacted", "thread_root")

    def __init__(
        self, event: Event, order_pos: int, order_sub: int, thread_root: str | None, redacted: bool = False
    ) -> None:
        self.event = event
        self.order_pos = order_pos
        self.order_sub = order_sub
        self.thread_root = thread_root
        self.redacted = redacted


class Knowledge:
    """What was read from the database for deciding: room heads and single events. Committed things only.

    Anything may be dropped at any time to save memory, also while a draft laid over it is being committed.
    """

    def __init__(self) -> None:
        self.heads: dict[str, RoomHead] = {}
        self.events: dict[str, KnownEvent | None] = {}  # None: looked for, and not here
        self.annotations: dict[Annotation, str | None] = {}  # the annotating event; None: there is none
        self.profiles: dict[str, Profile] = {}
        self.services: Services | None = None  # None: not read yet
        self.readings: dict[object, set[str]] = {}  # under way: the rooms and profiles that have moved on meanwhile

    def take_services(self, services: Services) -> None:
        """Other services are registered now, so who is interested in which room has to be found out anew."""
        self.services = services
        for head in self.heads.values():
            head.forget_interest()

    def is_joined(self, room_id: str, user_id: str) -> bool | None:
        """Whether the user is in the room; None: that is not in memory."""
        head = self.heads.get(room_id)
        key = ("m.room.member", user_id)
        if head is None or not head.has(key):
            return None
        member = head.entry(key)
        return member is not None and member.membership == "join"

    def bound_heads(self) -> None:
        """Drop the heads read or made longest ago."""
        while len(self.heads) > MAXIMUM_HEADS:
            del self.heads[next(iter(self.heads))]

    def bound_profiles(self) -> None:
        """Drop those read or changed longest ago."""
        while len(self.profiles) > MAXIMUM_PROFILES:
            del self.profiles[next(iter(self.profiles))]

    def bound(self, maximum: int) -> None:
        """Drop the events and annotations looked up longest ago."""
        while len(self.events) > maximum:
            del self.events[next(iter(self.events))]
        while len(self.annotations) > maximum:
            del self.annotations[next(iter(self.annotations))]


class Draft:
    """A batch that is being decided: everything that goes into one transaction."""

    def __init__(self, knowledge: Knowledge, pos: int, now_ms: int) -> None:
        """`pos` is the position before the first one to give out."""
        self.knowledge = knowledge
        self.pos = pos
        self.now_ms = now_ms
        self.rooms: dict[str, RoomDraft] = {}
        self.new_heads: dict[str, RoomHead] = {}
        self.events: dict[str, KnownEvent] = {}
        self.annotations: dict[Annotation, str | None] = {}
        self.profiles: dict[str, Profile] = {}
        self.items: list[tuple[int, str, bytes]] = []
        self.rows: _Rows = {}
        self.upserts: dict[Write, dict[Key, tuple[object, ...]]] = {}
        self.intervals: dict[IntervalTable, Intervals] = {}
        self.new_services: Services | None = None
        self.dropped_rooms: set[str] = set()
        self.departed: list[tuple[str, str]] = []
        self.notes_job = False

    @property
    def services(self) -> Services:
        """The application services as decided so far. Raises NotLoaded."""
        if self.new_services is not None:
            return self.new_services
        if self.knowledge.services is None:
            raise NotLoaded("the application services")
        return self.knowledge.services

    def held(self, room_id: str) -> Held | None:
        """The room as decided so far, or None when the room is not known here. Raises NotLoaded."""
        if room_id in self.dropped_rooms:
            raise NotLoaded(f"what {room_id} was replaced by in this batch")
        return self.rooms.get(room_id) or self.new_heads.get(room_id) or self.knowledge.heads.get(room_id)

    def known_event(self, event_id: str) -> KnownEvent | None:
        return self.events.get(event_id) or self.knowledge.events.get(event_id)

    def annotation(self, annotation: Annotation) -> str | None:
        if annotation in self.annotations:
            return self.annotations[annotation]
        return self.knowledge.annotations.get(annotation)

    def profile(self, user_id: str) -> Profile:
        """A local user's profile as decided so far. Raises NotLoaded."""
        for known in (self.profiles, self.knowledge.profiles):
            if user_id in known:
                return known[user_id]
        raise NotLoaded(f"the profile of {user_id}")

    def merge(self, step: "Step") -> None:
        self.pos = step.pos
        self.items += step.items
        self.events.update(step.events)
        self.annotations.update(step.annotations)
        self.profiles.update(step.profiles)
        if step.new_services is not None:
            self.new_services = step.new_services
        self.new_heads.update(step.new_heads)
        self.dropped_rooms |= step.dropped_rooms
        self.departed += step.departed
        self.notes_job = self.notes_job or step.notes_job
        for room_id, draft in step.rooms.items():
            mine = self.rooms.get(room_id)
            if mine is None:
                self.rooms[room_id] = draft
            else:
                mine.merge(draft)
        for write, rows in step.rows.items():
            self.rows.setdefault(write, []).extend(rows)
        for write, upserts in step.upserts.items():
            self.upserts.setdefault(write, {}).update(upserts)
        for table, change in step.changes:
            intervals = self.intervals.get(table)
            if intervals is None:
                intervals = self.intervals[table] = Intervals()
            intervals.apply(change)

    def all_rows(self) -> _Rows:
        """The rows of the whole batch by statement."""
        rows = dict(self.rows)
        for write, upserts in self.upserts.items():
            rows[write] = [*rows.get(write, []), *upserts.values()]
        for table, intervals in self.intervals.items():
            _put(rows, table.close, intervals.closed())
            _put(rows, table.begin, intervals.begun())
        return rows

    def install(self) -> None:
        """After the commit: what was decided is what is known."""
        heads = self.knowledge.heads
        heads.update(self.new_heads)
        for room_id, draft in self.rooms.items():
            if room_id in heads:  # else it was dropped meanwhile, and is read anew when it is needed
                heads[room_id].install(draft)
        for room_id in self.dropped_rooms:
            heads.pop(room_id, None)
        for moved in self.knowledge.readings.values():
            moved.update(self.rooms, self.dropped_rooms, self.profiles)
        self.knowledge.bound_heads()
        self.knowledge.events.update(self.events)
        self.knowledge.annotations.update(self.annotations)
        if self.profiles:
            self.knowledge.profiles.update(self.profiles)
            self.knowledge.bound_profiles()
        if self.new_services is not None:
            self.knowledge.take_services(self.new_services)


def _put(rows: _Rows, write: Write, more: Iterable[tuple[object, ...]]) -> None:
    listed = list(more)
    if listed:
        rows[write] = [*rows.get(write, []), *listed]


class Step:
    """What one call changes. Made for each call; merged into the draft if the call succeeds."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.pos = draft.pos
        self.now_ms = draft.now_ms
        self.rooms: dict[str, RoomDraft] = {}
        self.new_heads: dict[str, RoomHead] = {}
        self.events: dict[str, KnownEvent] = {}
        self.annotations: dict[Annotation, str | None] = {}
        self.profiles: dict[str, Profile] = {}
        self.items: list[tuple[int, str, bytes]] = []
        self.rows: _Rows = {}
        self.upserts: dict[Write, dict[Key, tuple[object, ...]]] = {}
        self.changes: list[tuple[IntervalTable, IntervalChange]] = []
        self.new_services: Services | None = None
        self.dropped_rooms: set[str] = set()
        self.departed: list[tuple[str, str]] = []  # (room, user) of memberships that are `join` no more
        self.notes_job = False

    @property
    def services(self) -> Services:
        """The application services. Raises NotLoaded."""
        return self._draft.services if self.new_services is None else self.new_services

    def item(self, item: items.Item) -> int:
        """Add an item to the log. Returns its position."""
        if isinstance(item, items.EventItem):
            for change in item.changes:
                if change.old_membership == "join" != change.new_membership:
                    self.departed.append((item.room_id, change.state_key))
        self.pos += 1
        self.items.append((self.pos, items.KIND_OF[type(item)], items.encode(item)))
        return self.pos

    def next_pos(self) -> int:
        """The position that the next item will get: rows that belong to it carry it."""
        return self.pos + 1

    def room(self, room_id: str) -> RoomDraft | None:
        """The room to decide on, or None when it is not known here."""
        draft = self.rooms.get(room_id)
        if draft is None:
            held = self.new_heads.get(room_id) or self._draft.held(room_id)
            if held is None:
                return None
            draft = self.rooms[room_id] = RoomDraft(held)
        return draft

    def drop_room(self, room_id: str) -> None:
        """What is in memory of the room is void once this is committed: the next call reads it anew."""
        self.dropped_rooms.add(room_id)

    def known_event(self, event_id: str) -> KnownEvent | None:
        return self.events.get(event_id) or self._draft.known_event(event_id)

    def was_missed(self, event_id: str) -> bool:
        """Whether somebody has lately looked for the event in vain."""
        events = self._draft.knowledge.events
        return event_id in events and events[event_id] is None

    def annotation(self, annotation: Annotation) -> str | None:
        """The event that annotates so already, if any."""
        if annotation in self.annotations:
            return self.annotations[annotation]
        return self._draft.annotation(annotation)

    def profile(self, user_id: str) -> Profile:
        """What of a local user's profile stands in his member events. Raises NotLoaded."""
        return self.profiles[user_id] if user_id in self.profiles else self._draft.profile(user_id)

    def row(self, write: Write, *values: object) -> None:
        self.rows.setdefault(write, []).append(values)

    def several(self, write: Write, rows: Iterable[tuple[object, ...]]) -> None:
        """Many rows of one statement."""
        self.rows.setdefault(write, []).extend(rows)

    def upsert(self, write: Write, key: Key, *values: object) -> None:
        """A row of a table that keeps only the newest: one row for each key in a transaction."""
        self.upserts.setdefault(write, {})[key] = values

    def interval(self, table: IntervalTable, key: Key, values: Values | None, pos: int, existed: bool = True) -> None:
        self.changes.append((table, IntervalChange(key, values, pos, existed)))
