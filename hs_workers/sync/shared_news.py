"""News that is the same for many readers: a stretch of the log is looked at once for all whose tokens are at its
beginning, and a room's part of their answers is encoded once.

It answers where all that a reader is to be told are messages of others, which everybody in a room sees alike, and says
None where anything is his own matter; then the fast lane looks for him alone. Both give the same bytes: a test holds
them to it. What still differs between readers, counts of what is unread and of keys, is put in for each.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from hs_common.matrix.tokens import SyncToken
from hs_common.reading.settings import read_settings
from hs_common.replication import items
from hs_common.replication.ephemeral_view import EphemeralView
from hs_workers.sync import ephemeral
from hs_workers.sync.answer import Answer
from hs_workers.sync.audience import PRIVATE, TrackedUser
from hs_workers.sync.event_json import EventFormat
from hs_workers.sync.general import Question
from hs_workers.sync.load_timelines import acceptance
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.parameters import Wishes
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.recent_log import RecentItem, RecentLog
from hs_workers.sync.timeline import Scan, TimelineEvent
from hs_workers.sync.unread_memory import UnreadMemory
from hs_workers.sync.windows import STILL_SO, Window

MAXIMUM_LOOKED_AT: Final = 1_000
"""Items looked at for one answer: with more, reading what concerns one user from Postgres is cheaper."""
MAXIMUM_STRETCHES: Final = 100
"""Beginnings that are remembered at a time; readers who wait are at the same one, but for those who are slow."""

_ROOM: Final = b'%b:{"timeline":{"events":['
_STATE_NAMES: Final = {False: b"state", True: b"state_after"}
_ROOM_END: Final = (
    b'],"limited":false,"prev_batch":%b},"%b":{"events":[]},"account_data":{"events":[]},"ephemeral":{"events":[]},'
)
_EVENT: Final = b'%b,"unsigned":{"age":%d,"membership":"join"}}'
_ANSWER: Final = (
    b'{"next_batch":"%b","rooms":{"join":{%b}},"device_one_time_keys_count":%b,'
    b'"device_unused_fallback_key_types":%b,"device_lists":{"changed":[],"left":[]}}'
)


class _Told(NamedTuple):
    """What is told of a room, but for the age of each event, and the reader's counts, which come last."""

    begin: bytes
    events: tuple[tuple[bytes, int], ...]  # each open, with its `origin_server_ts`
    end: bytes
    senders: frozenset[str]

    def at(self, now_ms: int) -> bytes:
        """With the ages of that moment."""
        told = [_EVENT % (open_event, now_ms - ts) for open_event, ts in self.events]
        return b"%b%b%b" % (self.begin, b",".join(told), self.end)


class _RoomNews:
    """The messages of a room in a stretch, and what was encoded of them."""

    __slots__ = ("_told", "events", "version")

    def __init__(self, version: str) -> None:
        self.events: list[TimelineEvent] = []
        self.version = version
        # By a filter's identity: the filter is kept with it, so that no other comes to have that.
        self._told: dict[tuple[int, bool], tuple[Wishes, _Told | None]] = {}

    def told(self, wishes: Wishes, room_id: str, since: int, now: int) -> _Told | None:
        """What is told by a filter; None if that is not for all alike."""
        key = (id(wishes.filter), wishes.use_state_after)
        known = self._told.get(key)
        if known is None:
            window = Window(room_id, since, since, now, spans=((0, STILL_SO, "join"),))
            known = self._told[key] = (wishes, self._encoded(wishes, window))
        return known[1]

    def _encoded(self, wishes: Wishes, window: Window) -> _Told | None:
        wanted = wishes.filter.room
        if not EventFormat(wishes.filter).is_plain:
            return None
        room_id = window.room_id
        events = self.events if wanted.allows_room(room_id) and wanted.timeline.rooms.allows(room_id) else []
        accept = acceptance(wanted.timeline, _NOBODY, ReadingRights(""))
        scan = Scan(window, wanted.timeline.bounded_limit())
        scan.take(events[::-1], len(events) + 1, lambda event: accept(window, event))
        timeline = scan.result()
        if timeline.limited:
            return None
        return _Told(
            _ROOM % orjson.dumps(room_id),
            tuple((one.fragment(one.event(self.version)), one.row.origin_server_ts) for one in timeline.events),
            _ROOM_END % (orjson.dumps(timeline.prev_batch), _STATE_NAMES[wishes.use_state_after]),
            frozenset(one.row.sender for one in timeline.events),
        )


class _Stretch:
    """What is in the log after a position: messages by room, and what it holds besides."""

    def __init__(self, recent: list[RecentItem], local: str) -> None:
        self.rooms: dict[str, _RoomNews] = {}
        self.odd_rooms: set[str] = set()  # of which something else is to be told
        self.concerned: set[str] = set()  # who is to be told something of his own, senders among them
        self.is_for_all = all(self._take(one, local) for one in recent)

    def _take(self, one: RecentItem, local: str) -> bool:
        """False for what may concern anybody."""
        item = one.item
        if isinstance(item, items.EventItem):
            self._take_event(one, item, local)
        elif isinstance(item, items.ReceiptItem):
            if item.receipt_type == PRIVATE:
                self.concerned.add(item.user_id)
            else:
                self.odd_rooms.add(item.room_id)
        elif isinstance(item, items.AccountDataItem):
            self.concerned.add(item.user_id)
        elif isinstance(item, items.PrivateKeysItem):
            self.concerned.add(item.reader_id)
        return not isinstance(item, items.DevicesItem | items.CrossSigningItem)

    def _take_event(self, one: RecentItem, item: items.EventItem, local: str) -> None:
        if item.order_sub != 0:
            return
        is_message = item.state_key is None and not item.changes and not item.redacted and item.replaces_state is None
        if one.told is None or not is_message or not item.sender.endswith(local):
            self.odd_rooms.add(item.room_id)
            return
        self.concerned.add(item.sender)
        room = self.rooms.get(item.room_id)
        if room is None:
            room = self.rooms[item.room_id] = _RoomNews(item.room_version)
        room.events.append(one.told)


class SharedNews:
    """What the fast lane asks first."""

    def __init__(
        self, recent: RecentLog, view: EphemeralView, members_sent: MembersSent, unread: UnreadMemory, server_name: str
    ) -> None:
        self.answered = 0
        self._recent = recent
        self._view = view
        self._members_sent = members_sent
        self._unread = unread
        self._local = ":" + server_name
        self._stretches: dict[int, _Stretch | None] = {}
        self._upto = (0, 0)

    def answer(self, question: Question, since: SyncToken, user: TrackedUser, now_ms: int) -> Answer | None:
        """The answer at this process' position, which `question.now` is, to somebody who has been in his rooms since
        `since`; None if it is not the same for others."""
        stretch, rooms = self._stretch(since.position, question.now), user.rooms
        if stretch is None or rooms is None or not self._is_alike(stretch, question, since, rooms):
            return None
        told: list[bytes] = []
        known = self._members(question)
        for room_id, news in stretch.rooms.items():
            if room_id in rooms:
                room = self._room(question, room_id, news, known, now_ms)
                if room is None:
                    return None
                if room:
                    told.append(room)
        if not told:
            return None
        self.answered += 1
        return self._finish(question, since, told)

    def _stretch(self, position: int, now: int) -> _Stretch | None:
        """What is after a position; None if that is not for all alike."""
        upto = (now, self._recent.resets)
        if upto != self._upto or len(self._stretches) >= MAXIMUM_STRETCHES:
            self._stretches.clear()
            self._upto = upto
        if position not in self._stretches:
            recent = self._recent.since(position, MAXIMUM_LOOKED_AT)
            stretch = None if recent is None else _Stretch(recent, self._local)
            self._stretches[position] = stretch if stretch is not None and stretch.is_for_all else None
        return self._stretches[position]

    def _is_alike(self, stretch: _Stretch, question: Question, since: SyncToken, rooms: set[str]) -> bool:
        """Whether the reader is to be told nothing but what others are."""
        device, ignored = question.device, question.settings.ignored
        return not (
            question.reader.user_id in stretch.concerned
            or device.messages
            or device.counts_changed
            or self._view.position > ephemeral.counter_of(since)
            or not stretch.odd_rooms.isdisjoint(rooms)
            or (ignored and not ignored.isdisjoint(stretch.concerned))
        )

    def _members(self, question: Question) -> Mapping[tuple[str, str], str] | None:
        """The members that the reader's device was sent, if it is to be told of those whom it was not."""
        if not question.wishes.lazy:
            return None
        reader = question.reader
        return self._members_sent.known(reader.user_id, reader.device_id, question.held_token)

    def _room(
        self,
        question: Question,
        room_id: str,
        news: _RoomNews,
        known: Mapping[tuple[str, str], str] | None,
        now_ms: int,
    ) -> bytes | None:
        """What is told of a room, empty for nothing; None if it is not for all alike."""
        start, wishes = question.start, question.wishes
        assert start is not None, "only questions with a token come here"
        told = news.told(wishes, room_id, start, question.now)
        if told is None or not told.events:
            return None if told is None else b""
        if known is not None and (
            wishes.filter.room.state.include_redundant_members
            or not all((room_id, sender) in known for sender in told.senders)
        ):
            return None
        unread = self._unread.at(question.reader.user_id, room_id, question.now, question.settings)
        if unread is None:
            return None
        counts = orjson.dumps(unread.summary(wishes.filter.room.timeline.unread_thread_notifications))
        return told.at(now_ms) + counts[1:]

    def _finish(self, question: Question, since: SyncToken, told: list[bytes]) -> Answer:
        reader, device = question.reader, question.device
        next_batch = ephemeral.with_counter(question.now, since.to_device, ephemeral.counter_of(since))
        token = str(next_batch)
        if question.wishes.lazy:
            self._members_sent.sent(reader.user_id, reader.device_id, question.held_token, token, {})
        body = _ANSWER % (
            token.encode("ascii"),
            b",".join(told),
            orjson.dumps(dict(device.one_time_keys)),
            orjson.dumps(list(device.fallback_keys)),
        )
        return Answer(body, True, next_batch)


_NOBODY: Final = read_settings("", {})
"""Whose settings leave out no event: who ignores a sender is not told what others are."""
