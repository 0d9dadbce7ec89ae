"""The statements that the simulated calls read by, answered from the tables in memory.

Each is known by the very text that its storage function sends, found by calling that function once with a database
that only listens: a statement that changes there is followed here, and one that is missing here fails loudly.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hs_common.storage import appservices, delayed_events, epochs, jobs, log, master_reads, room_heads, room_state
from hs_common.storage.queries import Arguments, Row
from hs_master.intervals import ALWAYS
from tests.simulation.database import SimulatedLog

Answerer = Callable[[SimulatedLog, Sequence[Any]], list[Row]]


class _Listener(Exception):
    """A database that answers nothing and remembers what it was asked. `first`: rows of the statements before."""

    def __init__(self, first: Sequence[Row | None]) -> None:
        self.sql = ""
        self._first = list(first)

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        row = await self.fetch_one(sql, args)
        return [] if row is None else [row]

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        if self._first:
            return self._first.pop(0)
        self.sql = sql
        raise self

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        self.sql = sql
        raise self


def text_of(
    function: Callable[..., Coroutine[Any, Any, Any]], *args: Any, first: Sequence[Row | None] = (), **more: Any
) -> str:
    """The statement that a storage function sends; of several the one after those that answered `first`."""
    listener = _Listener(first)
    try:
        function(listener, *args, **more).send(None)
    except _Listener:
        return listener.sql
    raise AssertionError(f"{function.__name__} asked nothing")


def _rooms(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    rooms = database.tables.rooms
    return [(room_id, rooms[room_id]) for room_id in args[0] if room_id in rooms]


def _newest_events(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    tables = database.tables
    newest = [(room_id, tables.timeline[room_id][-1].event_id) for room_id in args[0] if tables.timeline.get(room_id)]
    return [(room_id, event_id, tables.events[event_id][1]) for room_id, event_id in newest]


def _no_rows(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    return []


def _state_positions(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    found: list[Row] = []
    for room_id in args[0]:
        rows = [row for rows in database.tables.state.get(room_id, {}).values() for row in rows]
        ends = [row.to_pos for row in rows if row.to_pos < ALWAYS]
        found.append((room_id, max([row.from_pos for row in rows] + ends, default=None)))
    return found


def _joined_by_server(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    counts: dict[tuple[str, str], int] = {}
    for room_id in args[0]:
        for (event_type, state_key), row in database.tables.current_rows(room_id):
            if event_type == "m.room.member" and row.membership == "join":
                place = (room_id, state_key.partition(":")[2])
                counts[place] = counts.get(place, 0) + 1
    return [(*place, count) for place, count in counts.items()]


def _state_entries(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    tables = database.tables
    found: list[Row] = []
    for place in zip(*args, strict=True):
        row = tables.current(*place)
        if row is not None:
            found.append((*place, row.event_id, tables.events[row.event_id][1]))
    return found


def _known_events(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    tables = database.tables
    found: list[Row] = []
    for event_id in args[0]:
        if event_id in tables.places:
            room_id, json, redacted_by = tables.events[event_id]
            place = tables.places[event_id]
            found.append((event_id, tables.rooms[room_id], json, redacted_by, place.order_pos, 0, place.thread_root))
    return found


def _annotations(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    by_place = {place: event_id for event_id, place in database.tables.relations.items()}
    return [(*place, by_place[place]) for place in zip(*args, strict=True) if place in by_place]


def _account_data_pos(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    user_id, room_id, data_type = args
    versions = database.tables.account_data.get((user_id, room_id, data_type))
    return [(versions[-1][0],)] if versions else []


def _head(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    return [(database.outbox[-1].pos,)] if database.outbox else []


def _last(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    return [(entry.epoch, entry.pos, entry.made_us) for entry in database.outbox[-1:]]


def _read(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    after, limit = args
    return [tuple(entry) for entry in database.outbox if entry.pos > after][:limit]


def _take_overs(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    return [(prev, first) for _, prev, first in database.epochs]


def _leader(database: SimulatedLog, args: Sequence[Any]) -> list[Row]:
    leader = database.leader
    return [(leader.epoch, leader.beat, leader.holder, leader.address, leader.format)]


ANSWERERS: dict[str, Answerer] = {
    text_of(room_state.room_versions, ["!r"]): _rooms,
    text_of(room_heads.newest_events, ["!r"]): _newest_events,
    text_of(room_heads.forks, ["!r"]): _no_rows,
    text_of(room_heads.state_positions, ["!r"]): _state_positions,
    text_of(room_heads.joined_by_server, ["!r"]): _joined_by_server,
    text_of(room_heads.state_entries, [("!r", "t", "k")]): _state_entries,
    text_of(room_heads.known_events, ["$e"]): _known_events,
    text_of(room_heads.annotations, [("$e", "@u", "t", "k")]): _annotations,
    text_of(master_reads.account_data_pos, "@u", "!r", "t"): _account_data_pos,
    text_of(master_reads.restricted_users): _no_rows,
    text_of(jobs.next_jobs, 1): _no_rows,
    text_of(delayed_events.due, 1, 1): _no_rows,
    text_of(delayed_events.next_due_ms): _no_rows,
    text_of(delayed_events.has_finalised_before, 1): _no_rows,
    text_of(appservices.registered): _no_rows,  # nobody here makes an alias, a job, a service or sends anything later
    text_of(appservices.joined_users, ["!r"]): _no_rows,
    text_of(appservices.aliases, ["!r"]): _no_rows,
    text_of(appservices.open_causes, ["!r"]): _no_rows,
    text_of(log.head): _head,
    text_of(log.last): _last,
    text_of(log.read, 0, 1): _read,
    text_of(epochs.take_overs): _take_overs,
    text_of(log.leader): _leader,
}
