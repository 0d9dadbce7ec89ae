"""The fast lane to an answer: from the newest part of the log in memory, without any statement.

It answers the usual case, new messages in rooms that the reader has been in all along, and says None where anything is
not usual; then the general way answers. Both give the same body: a test holds them to it over random histories.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hs_common.matrix.receipts_edu import Receipt
from hs_common.matrix.tokens import SyncToken
from hs_common.reading.settings import TYPES
from hs_common.reading.unread import RoomUnread
from hs_common.replication import items
from hs_common.replication.ephemeral_view import Changes, EphemeralView
from hs_workers.sync import ephemeral
from hs_workers.sync.answer import Answer, Parts, RoomParts, account_data_event, assemble
from hs_workers.sync.audience import PRIVATE, Audience, TrackedUser
from hs_workers.sync.device_changes import DeviceChanges
from hs_workers.sync.event_json import EventFormat
from hs_workers.sync.event_parts import EventParts, Related
from hs_workers.sync.general import Question
from hs_workers.sync.load_timelines import acceptance
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.recent_log import RecentItem, RecentLog
from hs_workers.sync.shared_news import MAXIMUM_LOOKED_AT, SharedNews
from hs_workers.sync.timeline import Scan, TimelineEvent
from hs_workers.sync.unread_memory import UnreadMemory
from hs_workers.sync.windows import STILL_SO, Window


@dataclass(slots=True)
class _Found:
    """What concerns the reader of the items after his token."""

    events: dict[str, list[TimelineEvent]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    receipts: dict[str, dict[tuple[str, str, str], items.ReceiptItem]] = field(default_factory=dict)
    account_data: dict[tuple[str, str], bytes] = field(default_factory=dict)
    device_lists: set[str] = field(default_factory=set)


class FastLane:
    """Answers questions from memory."""

    def __init__(
        self,
        recent: RecentLog,
        shared: SharedNews,
        audience: Audience,
        view: EphemeralView,
        members_sent: MembersSent,
        unread: UnreadMemory,
        device_changes: DeviceChanges,
        server_name: str,
        now_ms: Callable[[], int],
    ) -> None:
        self.answered = 0
        self.declined = 0
        self._recent = recent
        self._shared = shared
        self._audience = audience
        self._view = view
        self._members_sent = members_sent
        self._unread = unread
        self._device_changes = device_changes
        self._local = ":" + server_name
        self._now_ms = now_ms

    def counted(self, user_id: str, counts: Mapping[str, RoomUnread]) -> None:
        """The general way counted."""
        self._unread.counted(user_id, counts)

    def answer(self, question: Question, user: TrackedUser) -> Answer | None:
        """The answer at this process' position, which `question.now` is; None: not for the fast lane."""
        answer = self._answer(question, user)
        if answer is None:
            self.declined += 1
        else:
            self.answered += 1
        return answer

    def _answer(self, question: Question, user: TrackedUser) -> Answer | None:
        since = question.since
        if since is None or user.rooms is None or question.wishes.full_state or question.lost:
            return None
        if user.membership_at > since.position or user.tracked_from > since.position:
            return None
        return self._shared.answer(question, since, user, self._now_ms()) or self.alone(question, since, user)

    def alone(self, question: Question, since: SyncToken, user: TrackedUser) -> Answer | None:
        """The same, looked up for this reader alone, who has been in his rooms since `since`."""
        assert user.rooms is not None, "his rooms are known"
        recent = self._recent.since(since.position, MAXIMUM_LOOKED_AT)
        found = None if recent is None else self._find(recent, question, user.rooms)
        if found is None:
            return None
        changes = self._view.changes_since(ephemeral.counter_of(since))
        rooms = self._rooms(question, found, user.rooms)
        if rooms is None or changes.is_full:
            return None
        self._add_typing(question, rooms, changes, user.rooms)
        presence = self._presence(question, changes, user)
        if presence is None or not self._add_unread(question, rooms):
            return None
        return self._finish(question, found, rooms, presence)

    def _finish(
        self, question: Question, found: _Found, rooms: dict[str, RoomParts], presence: list[dict[str, Any]]
    ) -> Answer:
        since = question.since
        assert since is not None, "only questions with a token come here"
        wanted = question.wishes.filter.account_data
        parts = Parts(
            list(rooms.values()),
            account_data=[
                account_data_event(data_type, content)
                for (room_id, data_type), content in found.account_data.items()
                if room_id == "" and wanted.allows(data_type, None)
            ],
            presence=presence,
            device_lists={"changed": sorted(found.device_lists)},
        )
        question.device.add_to(parts)
        reader = question.reader
        counter = self._view.next_token(ephemeral.counter_of(since))
        next_batch = ephemeral.with_counter(question.now, question.device.next_number(since), counter)
        if question.wishes.lazy:
            self._members_sent.sent(reader.user_id, reader.device_id, question.held_token, str(next_batch), {})
        return assemble(
            parts,
            next_batch,
            question.wishes.filter,
            reader.user_id,
            use_state_after=question.wishes.use_state_after,
            incremental=True,
        )

    # --- what is in the log -------------------------------------------------------------------------------------------

    def _find(self, recent: Sequence[RecentItem], question: Question, rooms: set[str]) -> _Found | None:
        """What concerns the reader; None if anything of it is unusual."""
        found, me = _Found(), question.reader.user_id
        allows = question.wishes.filter.room.allows_room
        for one in recent:
            item = one.item
            if isinstance(item, items.EventItem):
                if item.room_id in rooms and not self._find_event(found, one, item, allows):
                    return None
            elif isinstance(item, items.ReceiptItem):
                is_told = item.receipt_type != PRIVATE and item.user_id not in question.settings.ignored
                if item.room_id in rooms and (is_told or item.user_id == me):
                    key = (item.user_id, item.receipt_type, item.thread_id)
                    receipts = found.receipts.setdefault(item.room_id, {})
                    receipts.pop(key, None)
                    receipts[key] = item
            elif isinstance(item, items.AccountDataItem) and item.user_id == me:
                if item.type in TYPES and item.room_id == "":
                    return None
                found.account_data.pop((item.room_id, item.type), None)
                found.account_data[item.room_id, item.type] = item.content
            elif isinstance(item, items.PrivateKeysItem) and item.reader_id == me:
                found.device_lists.update(item.user_ids)
            elif isinstance(item, items.DevicesItem | items.CrossSigningItem) and not self._find_device_change(
                found, one.pos, item.user_id, question, rooms
            ):
                return None
        return found

    def _find_device_change(self, found: _Found, pos: int, user_id: str, question: Question, rooms: set[str]) -> bool:
        """Takes a change of somebody's devices if the reader shares a room; False if that is not known here."""
        if user_id != question.reader.user_id:
            of_user = self._device_changes.rooms_of(pos)
            if of_user is None:
                return False
            if of_user.isdisjoint(rooms):
                return True
        found.device_lists.add(user_id)
        return True

    def _find_event(self, found: _Found, one: RecentItem, item: items.EventItem, allows: Callable[[str], bool]) -> bool:
        """Takes an event; False for what is not a message of a local user that stands for itself."""
        if item.order_sub != 0:
            return True
        if item.state_key is not None or item.changes or item.redacted or not item.sender.endswith(self._local):
            return False
        if allows(item.room_id) and one.told is not None:
            found.events.setdefault(item.room_id, []).append(one.told)
            found.versions[item.room_id] = item.room_version
        return True

    # --- rooms --------------------------------------------------------------------------------------------------------

    def _rooms(self, question: Question, found: _Found, joined: set[str]) -> dict[str, RoomParts] | None:
        """The rooms that have news; None if a timeline is limited, or a member must be told."""
        filter = question.wishes.filter.room
        data_rooms = {room_id for room_id, _ in found.account_data if room_id in joined}
        rights = ReadingRights(question.reader.user_id)
        accept = acceptance(filter.timeline, question.settings, rights)
        parts = EventParts(question.reader, EventFormat(question.wishes.filter), rights, Related(), self._now_ms())
        rooms: dict[str, RoomParts] = {}
        for room_id in {**found.events, **found.receipts, **dict.fromkeys(data_rooms)}:
            if not filter.allows_room(room_id):
                continue
            events = found.events.get(room_id, []) if filter.timeline.rooms.allows(room_id) else []
            room = self._room(question, room_id, events, accept, parts, found.versions.get(room_id, ""))
            if room is None:
                return None
            self._add_personal(question, room, found)
            rooms[room_id] = room
        return rooms

    def _room(
        self,
        question: Question,
        room_id: str,
        events: Sequence[TimelineEvent],
        accept: Callable[[Window, TimelineEvent], bool],
        parts: EventParts,
        version: str,
    ) -> RoomParts | None:
        window = _window(question, room_id)
        scan = Scan(window, question.wishes.filter.room.timeline.bounded_limit())
        scan.take(events[::-1], len(events) + 1, lambda event: accept(window, event))
        timeline = scan.result()
        if timeline.limited or not self._members_known(question, room_id, timeline.events):
            return None
        told = [parts.in_timeline(window, one, one.event(version)) for one in timeline.events]
        return RoomParts(window, timeline=told, prev_batch=timeline.prev_batch)

    def _members_known(self, question: Question, room_id: str, events: Sequence[TimelineEvent]) -> bool:
        """Whether lazy loading has nothing to add: the device has all senders. Nobody's membership changed."""
        wishes, reader = question.wishes, question.reader
        if not wishes.lazy or not events:
            return True
        state = wishes.filter.room.state
        if state.include_redundant_members:
            return False
        known = self._members_sent.known(reader.user_id, reader.device_id, question.held_token)
        return all((room_id, one.row.sender) in known for one in events)

    def _add_personal(self, question: Question, room: RoomParts, found: _Found) -> None:
        room_id, me = room.window.room_id, question.reader.user_id
        room.receipts = [
            Receipt(room_id, item.receipt_type, item.user_id, item.event_id, item.ts, item.thread_id or None)
            for item in found.receipts.get(room_id, {}).values()
        ]
        room.is_news = any(receipt.user_id == me for receipt in room.receipts)
        room.account_data = [
            (data_type, content) for (of_room, data_type), content in found.account_data.items() if of_room == room_id
        ]

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _add_typing(self, question: Question, rooms: dict[str, RoomParts], changes: Changes, joined: set[str]) -> None:
        """Adds who types where that changed; a room may come in for this alone."""
        allows = question.wishes.filter.room.allows_room
        changed = [room_id for room_id in changes.room_ids if room_id in joined and allows(room_id)]
        ignored = question.settings.ignored
        events = ephemeral.typing_events(self._view, changes, changed, (), was_told=True, ignored=ignored)
        for room_id, event in events.items():
            room = rooms.get(room_id)
            if room is None:
                window = _window(question, room_id)
                prev_batch = Scan(window, 1).result().prev_batch
                room = rooms[room_id] = RoomParts(window, prev_batch=prev_batch)
            room.typing = event

    def _presence(self, question: Question, changes: Changes, user: TrackedUser) -> list[dict[str, Any]] | None:
        """The presence that the reader may see; None if it is not known here who shares a room with him."""
        wanted = question.wishes.filter.presence
        if not changes.user_ids or not wanted.types.allows("m.presence"):
            return []
        shown = []
        for user_id in changes.user_ids:
            if not wanted.senders.allows(user_id) or user_id in question.settings.ignored:
                continue
            other = self._audience.get(user_id)
            if other is None or other.rooms is None or user.rooms is None:
                return None
            if user_id == user.user_id or not user.rooms.isdisjoint(other.rooms):
                shown.append(user_id)
        return ephemeral.presence_events(self._view, shown, self._now_ms(), incremental=True)

    def _add_unread(self, question: Question, rooms: Mapping[str, RoomParts]) -> bool:
        for room_id, room in rooms.items():
            if not any((room.timeline, room.receipts, room.typing, room.account_data, room.is_news)):
                continue
            unread = self._unread.at(question.reader.user_id, room_id, question.now, question.settings)
            if unread is None:
                return False
            room.unread = unread
        return True


def _window(question: Question, room_id: str) -> Window:
    """A room that the reader was in all along."""
    since = question.start
    assert since is not None, "only questions with a token come here"
    return Window(room_id, since, since, question.now, spans=((0, STILL_SO, "join"),))
