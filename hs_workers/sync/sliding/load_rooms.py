"""Reads what is told of the planned rooms: timelines, state, names, heroes, counts; all together, at one position.

Spec: MSC4186, `RoomResult`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.filters import EVERYTHING, RoomEventFilter
from hs_common.reading.settings import Settings
from hs_common.storage import sliding, sync_rooms, sync_state
from hs_common.storage.queries import Queries
from hs_workers.sync.event_json import EventFormat, event_of
from hs_workers.sync.event_parts import EventParts, Related
from hs_workers.sync.load_relations import RelationLoader
from hs_workers.sync.load_timelines import acceptance, load_timelines
from hs_workers.sync.parameters import Reader
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.room_summaries import Moment, RoomSummaries, RoomSummary
from hs_workers.sync.room_versions import RoomVersions
from hs_workers.sync.sliding.load_state import Members, RoomState, load_states
from hs_workers.sync.sliding.planning import RoomPlan
from hs_workers.sync.sliding.required_state import MEMBER
from hs_workers.sync.timeline import MAXIMUM_EVENTS, Timeline
from hs_workers.sync.windows import Membership, Window

# Spec: MSC4186, "bump_stamp".
BUMPING: Final = (
    *("m.room.create", "m.room.message", "m.room.encrypted", "m.sticker", "m.call.invite", "m.poll.start"),
    *("m.beacon_info", "org.matrix.msc3381.poll.start", "org.matrix.msc3672.beacon_info"),
)
# Events that are looked at for one that bumps: a room that many joined since is sorted by the last of these.
BUMP_SCANNED: Final = 1_000
FORMAT: Final = EventFormat(EVERYTHING)


@dataclass(slots=True)
class RoomResult:
    """What is told of one room. Rooms that the reader was never in have a plan and a stamp only."""

    plan: RoomPlan
    bump_stamp: int
    window: Window | None = None
    timeline: Sequence[orjson.Fragment] = ()
    limited: bool = False
    prev_batch: str = ""
    num_live: int = 0
    required_state: list[Any] = field(default_factory=list)
    removed: Sequence[tuple[str, str]] = ()
    name: tuple[str | None] | None = None  # None: as before; the name may be none
    avatar: tuple[str | None] | None = None
    summary: RoomSummary | None = None
    heroes: Sequence[dict[str, str]] = ()
    unread: Any = None
    start: int = 0  # the position just before the timeline
    members: dict[tuple[str, str], str] = field(default_factory=dict)  # that are told: (room, user) → event

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        parts = (self.timeline, self.limited, self.required_state, self.removed, self.name, self.avatar, self.summary)
        return not self.plan.is_certain and self.plan.is_dm is None and not any(parts)


class RoomLoader:
    """Loads rooms for any reader."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._versions = RoomVersions(db)
        self._summaries = RoomSummaries(db)

    async def load(
        self,
        plans: Sequence[RoomPlan],
        reader: Reader,
        settings: Settings,
        known: Members,
        live: int,
        now: int,
        now_ms: int,
        changed_at: Mapping[str, int],
    ) -> tuple[dict[str, RoomResult], Mapping[str, str]]:
        """Room → what is told of it, in the order of the plans; and the versions of the rooms.

        `known`: members that the client has. `live`: where the last answer was, 0 if there was none. `changed_at`:
        where rooms changed last, as far as that is known.
        """
        asked = {one.room_id: _asked(one) for one in plans if one.is_asked}
        others = [one for one in plans if not one.is_asked]
        spans = await self._spans(reader.user_id, [one.room_id for one in others], now)
        windows = {one.room_id: _window(one, spans.get(one.room_id, []), now) for one in others}
        versions = await self._versions.of(windows)
        reading = _Reading(self._db, reader, settings, versions, live, now, now_ms)
        timelines = await reading.timelines(others, windows)
        states = await load_states(self._db, others, timelines, known)
        moments = _moments(others, windows, states, changed_at)
        summaries = await self._summaries.of(moments)
        results = await reading.results(others, timelines, states, summaries)
        await self._bump(results, now)
        return {one.room_id: asked.get(one.room_id) or results[one.room_id] for one in plans}, versions

    async def _spans(self, user_id: str, room_ids: Sequence[str], now: int) -> dict[str, list[Membership]]:
        found: dict[str, list[Membership]] = {}
        for row in await sync_rooms.all_memberships(self._db, user_id, room_ids, now) if room_ids else ():
            found.setdefault(row[0], []).append(Membership(*row))
        return found

    async def _bump(self, results: Mapping[str, RoomResult], now: int) -> None:
        joined = [room_id for room_id, result in results.items() if result.plan.is_joined]
        if joined:
            for room_id, newest, oldest in await sliding.bumps(self._db, joined, now, BUMPING, BUMP_SCANNED):
                results[room_id].bump_stamp = newest or oldest or results[room_id].bump_stamp


def _asked(plan: RoomPlan) -> RoomResult:
    assert plan.row is not None, "an invite has its row"
    return RoomResult(plan, plan.row.from_pos)


def _window(plan: RoomPlan, rows: Sequence[Membership], now: int) -> Window:
    """The stretch of the room that is told. A room that the reader is out of ends where he went."""
    spans = tuple((row.from_pos, row.to_pos, row.membership) for row in rows if not row.out_of_band)
    since = 0 if plan.is_expanded else plan.since
    if plan.is_joined:
        return Window(plan.room_id, since, plan.since, now, spans=spans)
    ended = max((row.to_pos for row in rows if row.membership == "join"), default=now)
    upto = min(now, ended) if plan.row is None else plan.row.from_pos
    parting = None if plan.row is None else plan.row.event_id
    return Window(
        plan.room_id, since, plan.since, upto, is_left=True, parting=parting, was_joined=plan.was_in, spans=spans
    )


def _moments(
    plans: Iterable[RoomPlan],
    windows: Mapping[str, Window],
    states: Mapping[str, RoomState],
    changed: Mapping[str, int],
) -> dict[str, Moment]:
    """The rooms that are to be summarised, and when."""
    return {
        one.room_id: Moment(windows[one.room_id].upto, changed.get(one.room_id) if one.is_joined else None)
        for one in plans
        if one.was_in and (one.initial or states[one.room_id].is_resummarised)
    }


def _members(timeline: Timeline, state: RoomState) -> dict[tuple[str, str], str]:
    members = {(row.room_id, row.state_key): row.event_id for row in state.rows if row.type == MEMBER}
    for one in timeline.events:
        if one.row.type == MEMBER and one.row.state_key is not None:
            members[one.row.room_id, one.row.state_key] = one.row.event_id
    return members


class _Reading:
    """What is read for one answer."""

    def __init__(
        self,
        db: Queries,
        reader: Reader,
        settings: Settings,
        versions: Mapping[str, str],
        live: int,
        now: int,
        now_ms: int,
    ) -> None:
        self._db = db
        self._reader = reader
        self._settings = settings
        self._versions = versions
        self._live = live
        self._now = now
        self._now_ms = now_ms
        self._rights = ReadingRights(reader.user_id)

    async def timelines(self, plans: Iterable[RoomPlan], windows: Mapping[str, Window]) -> dict[str, Timeline]:
        """The timelines, those with the same limit together."""
        by_limit: dict[int, list[Window]] = {}
        share = max(1, MAXIMUM_EVENTS // max(1, len(windows)))
        for one in plans:
            by_limit.setdefault(min(share, one.match.config.timeline_limit), []).append(windows[one.room_id])
        found: dict[str, Timeline] = {}
        for limit, of_limit in by_limit.items():
            filter = RoomEventFilter(limit=limit)
            accept = acceptance(filter, self._settings, self._rights)
            for timeline in await load_timelines(self._db, of_limit, filter, accept, self._rights):
                found[timeline.window.room_id] = timeline
        return found

    async def results(
        self,
        plans: Sequence[RoomPlan],
        timelines: Mapping[str, Timeline],
        states: Mapping[str, RoomState],
        summaries: Mapping[str, RoomSummary],
    ) -> dict[str, RoomResult]:
        """The events of it all."""
        told = {
            one.row.event_id: one.event(self._versions.get(one.row.room_id, "1"))
            for timeline in timelines.values()
            for one in timeline.events
        }
        heroes = {room_id: summary.heroes_without_name(self._reader.user_id) for room_id, summary in summaries.items()}
        members = await self._hero_members(heroes, timelines)
        ids = {row.event_id for state in states.values() for row in (*state.rows, *state.named.values())}
        ids.update(members.values())
        stored = {row[0]: row for row in await sync_rooms.events(self._db, list(ids))} if ids else {}
        related = await self._related(plans, timelines, told, stored.values())
        parts = EventParts(self._reader, FORMAT, self._rights, related, self._now_ms)
        results = {}
        for one in plans:
            result = self._result(one, timelines[one.room_id], states[one.room_id], told, stored, parts)
            result.summary = summaries.get(one.room_id)
            result.heroes = [self._hero(user, stored.get(members.get((one.room_id, user), "")))
                             for user in heroes.get(one.room_id, ())]  # fmt: skip
            results[one.room_id] = result
        return results

    def _result(
        self,
        plan: RoomPlan,
        timeline: Timeline,
        state: RoomState,
        told: Mapping[str, Event],
        stored: Mapping[str, Sequence[Any]],
        parts: EventParts,
    ) -> RoomResult:
        window = timeline.window
        result = RoomResult(plan, window.upto, window, prev_batch=timeline.prev_batch, start=timeline.start)
        result.timeline = [parts.in_timeline(window, one, told[one.row.event_id]) for one in timeline.events]
        result.limited = timeline.limited
        live = max(self._live, plan.since)
        result.num_live = 0 if self._live == 0 else sum(one.row.order_pos > live for one in timeline.events)
        for row in state.rows:
            if row.event_id not in stored:
                continue  # the room is just being deleted
            event_id, room_id, replaces_state, redacted_by, json = stored[row.event_id]
            event = event_of(orjson.loads(json), event_id, self._versions.get(room_id, "1"))
            result.required_state.append(parts.in_state(event, replaces_state, redacted_by))
        result.removed = state.removed
        result.members = _members(timeline, state)
        if plan.was_in:
            result.name = self._named(plan, state, stored, "m.room.name", "name")
            result.avatar = self._named(plan, state, stored, "m.room.avatar", "url")
        return result

    def _named(
        self, plan: RoomPlan, state: RoomState, stored: Mapping[str, Sequence[Any]], event_type: str, key: str
    ) -> tuple[str | None] | None:
        """What the state event says, if that is news."""
        row = state.named.get(event_type)
        if row is None or row.event_id not in stored:
            return (None,) if (event_type, "") in state.ended and not plan.initial else None
        value = orjson.loads(stored[row.event_id][4])["content"].get(key)
        text = value if isinstance(value, str) and value else None
        return None if text is None and plan.initial else (text,)

    async def _hero_members(
        self, heroes: Mapping[str, Sequence[str]], timelines: Mapping[str, Timeline]
    ) -> dict[tuple[str, str], str]:
        keys = [
            (room_id, "m.room.member", user, timelines[room_id].window.upto, timelines[room_id].window.upto)
            for room_id, users in heroes.items()
            for user in users
        ]
        return {(row[0], row[2]): row[3] for row in await sync_state.entries(self._db, keys)}

    def _hero(self, user_id: str, row: Sequence[Any] | None) -> dict[str, str]:
        content = {} if row is None else orjson.loads(row[4])["content"]
        hero = {"user_id": user_id}
        for key in ("displayname", "avatar_url"):
            if isinstance(content.get(key), str):
                hero[key] = content[key]
        return hero

    async def _related(
        self,
        plans: Sequence[RoomPlan],
        timelines: Mapping[str, Timeline],
        told: Mapping[str, Event],
        stored: Iterable[Sequence[Any]],
    ) -> Related:
        rows = [one.row for timeline in timelines.values() for one in timeline.events]
        rooms = {row.redacted_by: row.room_id for row in rows if row.redacted_by is not None}
        rooms |= {row.replaces_state: row.room_id for row in rows if row.replaces_state is not None}
        rooms |= {row[3]: row[1] for row in stored if row[3] is not None}
        found = {
            row[0]: event_of(orjson.loads(row[4]), row[0], self._versions.get(row[1], "1"))
            for row in (await sync_rooms.events(self._db, list(rooms)) if rooms else ())
        }
        # Without a hole in front of them clients add up by themselves what relates to events.
        bundling = {one.room_id for one in plans if one.initial or one.is_expanded}
        parents = {
            one.row.event_id: told[one.row.event_id]
            for room_id, timeline in timelines.items()
            if timeline.limited or room_id in bundling
            for one in timeline.events
        }
        ignored = list(self._settings.ignored)
        loader = RelationLoader(self._db, self._reader.user_id, ignored, self._now, self._now_ms, FORMAT)
        redacted = {row.event_id for row in rows if row.redacted_by is not None}
        return Related(found, await loader.load(parents, redacted))
