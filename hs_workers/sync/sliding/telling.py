"""What one answer tells: planned from what is known at one position, loaded, and put together.

`prepare` looks at memory and must run in the turn in which the view was made; `tell` reads the rest, all of it at the
view's position.

Spec: MSC4186, "Response Body".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hs_common.process.background import Background
from hs_common.reading.load_unread import UnreadCounter
from hs_common.reading.settings import Settings
from hs_common.reading.unread import rows_to_keep
from hs_common.replication.ephemeral_view import Changes
from hs_common.storage import sliding, unread
from hs_common.storage.queries import Queries
from hs_workers.sync.devices import DeviceNews
from hs_workers.sync.members_sent import MembersSent
from hs_workers.sync.parameters import Reader
from hs_workers.sync.recent_log import RecentLog
from hs_workers.sync.sliding.connection import Connection
from hs_workers.sync.sliding.extensions import Extensions, Scene, to_device
from hs_workers.sync.sliding.hints import UNKNOWN, Hints, hints
from hs_workers.sync.sliding.lists import Matches, View, match, server_list
from hs_workers.sync.sliding.load_rooms import RoomLoader, RoomResult
from hs_workers.sync.sliding.planning import Plan, after, plan
from hs_workers.sync.sliding.question import THREADS, Json, SlidingRequest
from hs_workers.sync.sliding.render import body


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before anything is read. `changed_at`: where rooms changed last."""

    reader: Reader
    request: SlidingRequest
    connection: Connection
    settings: Settings
    view: View
    matches: Matches
    changed_at: Mapping[str, int]
    plan: Plan
    hints: Hints

    @property
    def live(self) -> int:
        """Where the last answer was; 0 if there was none."""
        return 0 if self.request.pos is None else self.request.pos.position


@dataclass(slots=True)
class Told:
    """An answer but for its token."""

    request: SlidingRequest
    matches: Matches
    rooms: Mapping[str, RoomResult]
    extensions: Json
    connection: Connection
    position: int
    ephemeral: int
    has_news: bool
    members: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def body(self, pos: str) -> bytes:
        """As it is sent."""
        return body(pos, self.matches.counts, self.rooms, self.extensions, is_unstable=self.request.is_unstable)


class Telling:
    """Puts answers together, for any reader."""

    def __init__(
        self,
        db: Queries,
        recent: RecentLog,
        extensions: Extensions,
        background: Background,
        now_ms: Callable[[], int],
    ) -> None:
        self._recent = recent
        self._db = db
        self._extensions = extensions
        self._background = background
        self._now_ms = now_ms
        self._rooms = RoomLoader(db)
        self._members_sent = MembersSent()

    def prepare(
        self, reader: Reader, request: SlidingRequest, connection: Connection, settings: Settings, view: View
    ) -> Prepared:
        """What the answer is about."""
        listed = server_list(view, settings, connection.rooms.keys(), reader.user_id)
        matches = match(request, view, listed)
        live = 0 if request.pos is None else request.pos.position
        planned = plan(matches, view, connection, live, ())
        told = [one.room_id for one in planned.rooms if one.room_id in view.activity]
        changed_at = {room_id: view.activity[room_id].changed for room_id in told}
        known = hints(self._recent, reader.user_id, live) if view.is_here and request.pos is not None else UNKNOWN
        return Prepared(reader, request, connection, settings, view, matches, changed_at, planned, known)

    async def tell(self, prepared: Prepared, device: DeviceNews, changes: Changes, counter: int) -> Told:
        """The answer."""
        one, planned = prepared, prepared.plan
        request, now, live = one.request, one.view.position, one.live
        if request.is_unstable and request.pos is not None and one.hints.receipts != frozenset():
            read = await sliding.rooms_read(self._db, one.reader.user_id, live, now)
            # Planned in the turn of the view, but for these rooms: what is added is judged by the same view.
            known = {planned_room.room_id for planned_room in planned.rooms}
            again = {room_id for room_id in read if room_id in planned.matched and room_id not in known}
            planned = _with_read(prepared, again)
        known_members = self._members_sent.known(
            one.reader.user_id, one.reader.device_id, None if request.pos is None else str(request.pos)
        )
        loaded, versions = await self._rooms.load(
            planned.rooms, one.reader, one.settings, known_members, live, now, self._now_ms(), one.changed_at
        )
        rooms = {room_id: result for room_id, result in loaded.items() if not result.is_empty}
        if request.is_unstable:
            await self._add_unread(one, rooms, versions)
        scene = self._scene(prepared, planned)
        extensions, extensions_news = await self._extend(prepared, scene, rooms, device, changes)
        limited = [room_id for room_id, result in loaded.items() if result.limited]
        enabled = frozenset(request.extensions)
        connection = after(one.connection, planned, one.matches, one.view, live, limited, enabled)
        has_news = bool(rooms) or extensions_news
        return Told(request, one.matches, rooms, extensions, connection, now, counter, has_news, _members(rooms))

    def was_sent(self, reader: Reader, request: SlidingRequest, told: Told, pos: str) -> None:
        """The answer goes out: the client will have its members."""
        since = None if request.pos is None else str(request.pos)
        self._members_sent.sent(reader.user_id, reader.device_id, since, pos, told.members)

    def _scene(self, prepared: Prepared, planned: Plan) -> Scene:
        one = prepared
        initial = {planned_room.room_id for planned_room in planned.rooms if planned_room.initial}
        told = {room_id: 0 if room_id in initial else since for room_id, since in planned.matched.items()}
        memberships = one.view.rooms.memberships
        joined = {room for room in told if room in memberships and memberships[room].membership == "join"}
        return Scene(
            one.reader.user_id,
            one.request,
            one.matches,
            told,
            planned.fresh,
            frozenset(joined),
            one.connection.extensions,
            None if one.request.pos is None else one.live,
            one.view.position,
            one.settings.ignored,
            one.hints,
        )

    async def _extend(
        self,
        prepared: Prepared,
        scene: Scene,
        rooms: Mapping[str, RoomResult],
        device: DeviceNews,
        changes: Changes,
    ) -> tuple[Json, bool]:
        """What the extensions tell, and whether any of it is worth an answer."""
        wanted = prepared.request.extensions
        told: Json = {}
        has_news = False
        if "to_device" in wanted:
            told["to_device"] = to_device(wanted["to_device"], device)
            has_news |= bool(told["to_device"]["events"])
        if "e2ee" in wanted:
            told["e2ee"] = await self._extensions.e2ee(scene, device)
            has_news |= "device_lists" in told["e2ee"] or device.counts_changed
        found = {}
        if "account_data" in wanted:
            found["account_data"] = await self._extensions.account_data(scene, wanted["account_data"])
        if "receipts" in wanted:
            found["receipts"] = await self._extensions.receipts(scene, wanted["receipts"], rooms)
        for name in THREADS:
            if name in wanted:
                device_id, view = prepared.reader.device_id, prepared.view
                found[name] = await self._extensions.threads(name, scene, device_id, view, rooms)
        if "typing" in wanted:
            typing = found["typing"] = self._extensions.typing(scene, wanted["typing"], changes)
            of_rooms = typing.get("rooms", {})
            # That nobody types is told anew to who comes from another process, but does not wake him.
            is_quiet = not any(event["content"]["user_ids"] for event in of_rooms.values())
            is_quiet &= not set(changes.room_ids) & of_rooms.keys()
            has_news |= not is_quiet
        has_news |= any(value for name, value in found.items() if name != "typing")
        return {**told, **{name: value for name, value in found.items() if value}}, has_news

    async def _add_unread(
        self, prepared: Prepared, rooms: Mapping[str, RoomResult], versions: Mapping[str, str]
    ) -> None:
        """The counts of joined rooms: the older form has them, and its clients show them."""
        joined = {
            room_id: max((start for start, _, kind in result.window.spans if kind == "join"), default=0)
            for room_id, result in rooms.items()
            if result.plan.is_joined and result.window is not None
        }
        user_id = prepared.reader.user_id
        counter = UnreadCounter(self._db, user_id, prepared.settings, versions, prepared.view.position)
        for room_id, counts in (await counter.count(joined)).items():
            rooms[room_id].unread = counts.summary(by_thread=False)["unread_notifications"]
        if counter.to_keep:
            self._background("keep unread counts", unread.keep(self._db, user_id, rows_to_keep(counter.to_keep)))


def _with_read(prepared: Prepared, read: set[str]) -> Plan:
    """The plan, and rooms in which the reader has read something."""
    if not read:
        return prepared.plan
    one = prepared
    only = Matches({room_id: one.matches.rooms[room_id] for room_id in read}, {})
    more = plan(only, one.view, one.connection, one.live, read)
    known = {room.room_id for room in one.plan.rooms}
    added = [room for room in more.rooms if room.room_id not in known and room.row is not None]
    return replace(one.plan, rooms=[*one.plan.rooms, *added])


def _members(rooms: Mapping[str, RoomResult]) -> dict[tuple[str, str], str]:
    """The members that the answer tells, by room and user."""
    return {key: event_id for result in rooms.values() for key, event_id in result.members.items()}
