"""Reads the timelines of an answer, all rooms together, downwards in rounds until each has enough."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.filters import RoomEventFilter
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.settings import Settings
from hs_common.storage import room_views, sync_rooms, sync_state, users
from hs_common.storage.queries import Queries
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.timeline import MAXIMUM_EVENTS, Scan, Timeline, TimelineEvent, TimelineRow, shares
from hs_workers.sync.windows import Window

# Events asked for in a further round, where a filter or visibility left too few of the first.
NEXT_ROUND_EVENTS: Final = 100

Accept = Callable[[Window, TimelineEvent], bool]


def acceptance(filter: RoomEventFilter, settings: Settings, rights: ReadingRights) -> Accept:
    """Whether an event is told: the filter wants it, its sender is not ignored, and the reader may see it."""
    looks_inside = filter.contains_url is not None

    def accept(window: Window, event: TimelineEvent) -> bool:
        row = event.row
        if row.state_key is None and row.sender in settings.ignored:
            return False
        if not filter.allows(row.type, row.sender):
            return False
        if looks_inside and not filter.allows_event(row.type, row.sender, event.content):
            return False
        return rights.may_see(window, event)

    return accept


async def load_timelines(
    db: Queries, windows: Sequence[Window], filter: RoomEventFilter, accept: Accept, rights: ReadingRights
) -> list[Timeline]:
    """The timeline of each window, in their order. `rights` is filled with what the events in them need."""
    partings = [window for window in windows if not window.was_joined]
    scanned = [window for window in windows if window.was_joined and filter.rooms.allows(window.room_id)]
    found = {timeline.window.room_id: timeline for timeline in await _load_partings(db, partings)}
    limit, scanned_each = shares(filter.bounded_limit(), len(scanned))
    floors = await _floors(db, scanned)
    scans = [Scan(window, limit, floors.get(window.room_id, 0), scanned_each) for window in scanned]
    asked, unfinished = limit + 1, scans
    while unfinished:
        await _round(db, unfinished, asked, accept, rights)
        unfinished = [scan for scan in unfinished if not scan.done]
        asked = min(NEXT_ROUND_EVENTS, 1 + MAXIMUM_EVENTS // max(1, len(unfinished)))
    found.update({scan.window.room_id: scan.result() for scan in scans})
    return [found.get(window.room_id) or _unwanted(window) for window in windows]


async def _round(db: Queries, scans: Sequence[Scan], asked: int, accept: Accept, rights: ReadingRights) -> None:
    rows = await sync_rooms.timelines(
        db,
        [scan.window.room_id for scan in scans],
        [scan.low for scan in scans],
        [scan.high for scan in scans],
        asked,
    )
    by_room: dict[str, list[TimelineEvent]] = {}
    for row in rows:
        by_room.setdefault(row[0], []).append(TimelineEvent(TimelineRow(*row[:15]), row[15]))
    await load_rights(db, [(scan.window, by_room.get(scan.window.room_id, [])) for scan in scans], rights)
    for scan in scans:
        window = scan.window
        scan.take(by_room.get(window.room_id, []), asked, lambda event, window=window: accept(window, event))  # type: ignore[misc]


async def load_rights(db: Queries, found: Sequence[tuple[Window, list[TimelineEvent]]], rights: ReadingRights) -> None:
    """Fills `rights` with what is needed to judge events of windows."""
    rooms = {
        window.room_id: window.upto
        for window, events in found
        if window.room_id not in rights.visibilities and any(not rights.is_decided(window, event) for event in events)
    }
    if rooms:
        rows = await sync_state.visibilities(db, list(rooms), max(rooms.values()))
        rights.visibilities.update({room_id: [] for room_id in rooms})
        for room_id, from_pos, to_pos, json in rows:
            value = orjson.loads(json)["content"].get("history_visibility")
            spans: Any = rights.visibilities[room_id]
            spans.append((from_pos, to_pos, value))
    deltas = {event.row.delta_id for _, events in found for event in events if event.row.delta_id is not None}
    if deltas:
        for delta_id, event_type, json in await room_views.overrides(db, list(deltas), rights.user_id):
            content = None if json is None else orjson.loads(json)["content"]
            rights.deltas[delta_id] = {**rights.deltas.get(delta_id, {}), event_type: content}
    # Elsewhere the reader was in the room when the events came.
    await _withhold(db, [(window, events) for window, events in found if window.fresh], rights)


async def _withhold(db: Queries, found: Sequence[tuple[Window, list[TimelineEvent]]], rights: ReadingRights) -> None:
    senders = {event.row.sender for _, events in found for event in events} - rights.erasures.keys()
    if senders:
        rights.erasures.update(dict.fromkeys(senders, 0) | await users.erasures(db, list(senders)))
    for window, events in found:
        for event in events:
            event.is_withheld = rights.is_withheld(window, event)


async def _floors(db: Queries, windows: Sequence[Window]) -> dict[str, int]:
    """The newest gap in each window that has one."""
    by_room = {window.room_id: window for window in windows}
    floors: dict[str, int] = {}
    for room_id, before_pos in await sync_rooms.gaps(db, list(by_room)):
        window = by_room[room_id]
        if window.since < before_pos <= window.upto:
            floors[room_id] = max(before_pos, floors.get(room_id, 0))
    return floors


async def _load_partings(db: Queries, windows: Sequence[Window]) -> list[Timeline]:
    """Of rooms that the reader was never in: the event by which an invite or a knock ended, and nothing else."""
    ids = [window.parting for window in windows if window.parting is not None]
    rows = {row[0]: row for row in await sync_rooms.events(db, ids)} if ids else {}
    timelines = []
    for window in windows:
        row = rows.get(window.parting)
        events = [] if row is None else [_parting_event(window, row[0], row[2], row[3], row[4])]
        timelines.append(Timeline(window, events, False, str(RoomToken(window.upto)), window.upto))
    return timelines


def _parting_event(
    window: Window, event_id: str, replaces_state: str | None, redacted_by: str | None, json: str
) -> TimelineEvent:
    pdu = orjson.loads(json)
    row = TimelineRow(
        room_id=window.room_id,
        order_pos=window.upto,
        order_sub=0,
        event_id=event_id,
        sender=pdu["sender"],
        type=pdu["type"],
        state_key=pdu.get("state_key"),
        origin_server_ts=pdu["origin_server_ts"],
        thread_root=None,
        state_pos=window.upto - 1,
        delta_id=None,
        device_id=None,
        txn_id=None,
        replaces_state=replaces_state,
        redacted_by=redacted_by,
    )
    return TimelineEvent(row, json)


def _unwanted(window: Window) -> Timeline:
    """Of a room whose timeline the filter does not want."""
    return Timeline(window, [], False, str(RoomToken(window.since)), window.upto)
