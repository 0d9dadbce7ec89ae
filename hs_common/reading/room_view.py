"""What one reader may know of one room: his memberships and the room's history visibility, as versioned rows.

Whether an event may be seen is decided by bisecting both at the event's `state_pos`; no state map is ever built. Events
on a fork carry overrides, which `RoomViews.learn` reads first.

Spec: client-server API, #room-history-visibility, #ignoring-users.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from hs_common.matrix.erasure import is_personal, knew
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.matrix.history_visibility import (
    Point,
    Row,
    joined_after,
    membership_at,
    understood,
    user_may_see,
    value_at,
)
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_views, users
from hs_common.storage.queries import Queries


class Reader(NamedTuple):
    """Who reads; `device_id` is None for an application service without a device."""

    user_id: str
    device_id: str | None = None


_Override = Mapping[str, Any] | None
_Parts = dict[str, list[Sequence[Any]]]  # kind → (text, from_pos, to_pos)
_JUDGED_BY_CONTENT = frozenset({"m.room.history_visibility", "m.room.member"})
_SEEN_BY_MEMBERS = frozenset({"shared", "world_readable"})
_EMPTY: Mapping[str, _Override] = {}


class RoomView:
    """One reader's view of one room at one position of the log."""

    def __init__(
        self,
        room_id: str,
        version: RoomVersion,
        reader: Reader,
        upto: int,
        memberships: Sequence[Row],
        visibilities: Sequence[Row],
        *,
        membership: str | None = None,
        forgotten: bool = False,
        ignored: Iterable[str] = (),
        has_erasures: bool = False,
    ) -> None:
        """`upto`: events after this position do not exist. `memberships`, `visibilities`: (from_pos, to_pos, value) by
        rising position. `membership`: the reader's now, None if he never had one. `ignored`: users he ignores.
        `has_erasures`: whether any user of this server asked for his content to be erased."""
        self.room_id = room_id
        self.version = version
        self.reader = reader
        self.upto = upto
        self.membership = membership
        self.forgotten = forgotten
        self.ignored = frozenset(ignored) - {reader.user_id}
        self.has_erasures = has_erasures
        self._memberships = memberships
        self._visibilities = visibilities
        self._points: dict[int, tuple[Point, bool]] = {}
        self._ordinary: dict[int, tuple[bool, str]] = {}
        self._overrides: dict[int, Mapping[str, _Override]] = {}

    @property
    def is_joined(self) -> bool:
        """Whether the reader is in the room now."""
        return self.membership == "join"

    @property
    def visibility(self) -> str:
        """The room's history visibility now."""
        return understood(value_at(self._visibilities, self.upto))

    @property
    def is_world_readable(self) -> bool:
        """Whether anybody may read what is said now."""
        return self.visibility == "world_readable"

    @property
    def is_readable(self) -> bool:
        """Whether there is anything in the room that the reader may see; each event is judged for itself besides."""
        if self.is_joined or self.is_world_readable:
            return True
        if self.forgotten:
            return False
        return self._was_joined or (self.membership == "invite" and self.visibility == "invited")

    @property
    def is_whole(self) -> bool:
        """Whether the reader may see whatever was said in the room, by whomever, at any time."""
        seen_by_members = all(understood(value) in _SEEN_BY_MEMBERS for _, _, value in self._visibilities)
        return self.is_joined and seen_by_members and not self.has_erasures

    @property
    def _was_joined(self) -> bool:
        return any(membership == "join" for _, _, membership in self._memberships)

    @property
    def state_pos(self) -> int | None:
        """The position whose state the reader may see: now, or when he left; None if none."""
        if self.is_joined or self.is_world_readable:
            return self.upto
        left = [to_pos for _, to_pos, membership in self._memberships if membership == "join"]
        return left[-1] if left and not self.forgotten else None

    @property
    def visible_positions(self) -> tuple[int, int]:
        """The first and last position between which events can be visible, so that nothing else need be looked at."""
        breaks = {0, *(pos for pos, _, _ in self._memberships), *(pos for pos, _, _ in self._visibilities)}
        points = sorted(breaks)
        seen = [index for index, pos in enumerate(points) if self._is_visible_at(pos)]
        if not seen:
            return (0, -1)
        # The event that ends what may be seen (a leave) may be seen itself.
        last = points[seen[-1] + 1] if seen[-1] + 1 < len(points) else self.upto
        return (points[seen[0]], last)

    def may_see(self, event: StoredEvent) -> bool:
        """By history visibility alone."""
        if event.order_pos > self.upto:
            return False
        if event.delta_id is None and event.type not in _JUDGED_BY_CONTENT:
            return self._judged(event.state_pos)[0]
        point, joined_later = self._point(event)
        content = event.content if event.state_key is not None else {}
        return user_may_see(event.type, event.state_key, content, self.reader.user_id, point, joined_later)

    def is_ignored(self, event: StoredEvent) -> bool:
        """Whether the reader does not want it: no state, and from somebody he ignores."""
        return event.sender in self.ignored and event.state_key is None

    def shows(self, event: StoredEvent) -> bool:
        """Whether the event is among those that the reader gets in lists."""
        return not self.is_ignored(event) and self.may_see(event)

    def membership_at(self, event: StoredEvent) -> str:
        """`unsigned.membership`."""
        if event.delta_id is None and event.type != "m.room.member":
            return self._judged(event.state_pos)[1]
        content = event.content if event.type == "m.room.member" else {}
        point, _ = self._point(event)
        return membership_at(event.type, event.state_key, content, self.reader.user_id, point.membership)

    def knew(self, event: StoredEvent, erased_pos: int) -> bool:
        """Whether the reader was in the room while the event could be read there."""
        return knew(self._memberships, event.order_pos, erased_pos)

    def learn(self, overrides: Mapping[int, Mapping[str, _Override]]) -> None:
        """What forks have instead of the resolved state: delta id → type → content, or None where it has nothing."""
        self._overrides.update(overrides)

    def unknown_deltas(self, events: Iterable[StoredEvent]) -> set[int]:
        """The forks among the events that `learn` was not told of."""
        deltas = {event.delta_id for event in events if event.delta_id is not None}
        return deltas - self._overrides.keys()

    def _is_visible_at(self, pos: int) -> bool:
        return self._judged(pos)[0]

    def _judged(self, pos: int) -> tuple[bool, str]:
        """Of an ordinary event with the state at `pos` before it: whether it is seen, and the reader's membership."""
        known = self._ordinary.get(pos)
        if known is None:
            point, joined_later = self._point_at(pos)
            user_id = self.reader.user_id
            visible = user_may_see("", None, {}, user_id, point, joined_later)
            known = self._ordinary[pos] = (visible, membership_at("", None, {}, user_id, point.membership))
        return known

    def _point(self, event: StoredEvent) -> tuple[Point, bool]:
        point, joined_later = self._point_at(event.state_pos)
        if event.delta_id is None:
            return point, joined_later
        overrides = self._overrides.get(event.delta_id, _EMPTY)
        return _overridden(point, overrides), joined_later

    def _point_at(self, pos: int) -> tuple[Point, bool]:
        known = self._points.get(pos)
        if known is None:
            point = Point(value_at(self._visibilities, pos), value_at(self._memberships, pos))
            known = self._points[pos] = (point, joined_after(self._memberships, pos))
        return known


class RoomViews:
    """Reads views from the database."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def view(self, room_id: str, reader: Reader) -> RoomView | None:
        """The reader's view of the room as it is now; None if the room is not known here."""
        return (await self.views([room_id], reader)).get(room_id)

    async def views(self, room_ids: Sequence[str], reader: Reader) -> dict[str, RoomView]:
        """The reader's views, all of one moment, of those of the rooms that are known here."""
        parts: dict[str, _Parts] = {}
        for room_id, kind, *part in await room_views.room_views(self._db, room_ids, reader.user_id):
            parts.setdefault(room_id, {}).setdefault(kind, []).append(part)
        of_none = parts.pop("")
        upto = of_none["head"][0][1]
        ignored = ignored_users(orjson.loads(of_none["ignored"][0][0])) if "ignored" in of_none else frozenset()
        has_erasures = "erasures" in of_none
        return {
            room_id: _view(room_id, reader, upto, ignored, has_erasures, of_room)
            for room_id, of_room in parts.items()
            if "room" in of_room
        }

    async def readable(self, room_id: str, reader: Reader) -> RoomView:
        """The view of a room of which the reader may see something. Raises M_FORBIDDEN."""
        view = await self.view(room_id, reader)
        if view is None or not view.is_readable:
            raise not_a_member()
        return view

    async def learn(self, view: RoomView, events: Sequence[StoredEvent]) -> None:
        """Reads what the view must know of forks before it judges these events, and withholds what erased users said:
        mostly nothing."""
        if view.has_erasures:
            await self._withhold(view, events)
        unknown = view.unknown_deltas(events)
        if not unknown:
            return
        overrides: dict[int, dict[str, _Override]] = {delta_id: {} for delta_id in unknown}
        for delta_id, event_type, json in await room_views.overrides(self._db, list(unknown), view.reader.user_id):
            overrides[delta_id][event_type] = None if json is None else orjson.loads(json)["content"]
        view.learn(overrides)

    async def _withhold(self, view: RoomView, events: Sequence[StoredEvent]) -> None:
        erased = await users.erasures(self._db, list({event.sender for event in events} - {view.reader.user_id}))
        for event in events:
            is_erased = event.sender in erased and is_personal(event.type, event.state_key, event.sender)
            if is_erased and not view.knew(event, erased[event.sender]):
                event.withhold()


def _view(
    room_id: str, reader: Reader, upto: int, ignored: frozenset[str], has_erasures: bool, parts: _Parts
) -> RoomView:
    now = parts.get("now", [])
    return RoomView(
        room_id,
        ROOM_VERSIONS[parts["room"][0][0]],
        reader,
        upto,
        sorted((from_pos, to_pos, membership) for membership, from_pos, to_pos in parts.get("member", ())),
        sorted((from_pos, to_pos, _visibility(json)) for json, from_pos, to_pos in parts.get("visibility", ())),
        membership=now[0][0] if now else None,
        forgotten=bool(now and now[0][2]),
        ignored=ignored,
        has_erasures=has_erasures,
    )


def ignored_users(content: Mapping[str, Any]) -> frozenset[str]:
    """The users whom the content of an m.ignored_user_list names."""
    users = content.get("ignored_users")
    return frozenset(users) if isinstance(users, dict) else frozenset()


def not_a_member() -> MatrixError:
    """The one error for a room that the reader may not look into, whether it exists or not."""
    return forbidden("You are not a member of this room")


def _visibility(json: str) -> str:
    return understood(orjson.loads(json)["content"].get("history_visibility"))


def _overridden(point: Point, overrides: Mapping[str, _Override]) -> Point:
    visibility, membership = point.visibility, point.membership
    if "m.room.history_visibility" in overrides:
        visibility = _string(overrides["m.room.history_visibility"], "history_visibility")
    if "m.room.member" in overrides:
        membership = _string(overrides["m.room.member"], "membership")
    return Point(visibility, membership)


def _string(content: _Override, key: str) -> str | None:
    value = None if content is None else content.get(key)
    return value if isinstance(value, str) else None
