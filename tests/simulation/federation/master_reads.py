"""The statements that a master reads by when events come from elsewhere: see `tests/simulation/queries.py`."""

from typing import Any, Final

import orjson

from hs_common.storage import (
    delayed_events,
    federated_rooms,
    jobs,
    master_reads,
    room_directory,
    room_forks,
    room_heads,
    room_state,
    server_views,
)
from hs_common.storage.queries import Row
from hs_master.intervals import ALWAYS
from tests.simulation.federation.database import FederationDatabase as Db
from tests.simulation.queries import text_of

CREATE: Final = ("m.room.create", "")


def _nothing(db: Db, args: Any) -> list[Row]:
    return []


def _forks(db: Db, args: Any) -> list[Row]:
    forks = db.tables.forks
    return [(room_id, *forks[room_id]) for room_id in args[0] if room_id in forks]


def _known_events(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    found: list[Row] = []
    for event_id in args[0]:
        place = tables.places.get(event_id)
        if place is None and tables.status.get(event_id) != room_forks.WITHOUT_STATE:
            continue
        room_id, json, redacted_by = tables.events[event_id]
        if room_id in tables.rooms:
            at = (0, 0, None) if place is None else (place.order_pos, place.row[2], place.thread_root)
            found.append((event_id, tables.rooms[room_id], json, redacted_by, *at))
    return found


def _standings(db: Db, args: Any) -> list[Row]:
    return [(event_id, db.tables.status[event_id]) for event_id in args[0] if db.tables.has(event_id)]


def _events(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    return [(one, tables.status[one], tables.events[one][1]) for one in dict.fromkeys(args[0]) if tables.has(one)]


def _citing(db: Db, args: Any) -> list[Row]:
    return [(*row, db.tables.absent.get(row[0])) for row in _events(db, args)]


def _places(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    found: list[Row] = []
    for one in dict.fromkeys(args[0]):
        place = tables.places.get(one)
        if place is not None and place.row[2] == 0 and one not in tables.late:
            at = (place.order_pos, place.state_pos, place.row[11])
            found.append((one, tables.status[one], tables.events[one][1], *at))
        if one in tables.aside and one not in tables.partial:
            found.append((one, tables.status[one], tables.events[one][1], None, *tables.aside[one][1:]))
    return found


def _deltas(db: Db, args: Any) -> list[Row]:
    return [(delta_id, *entry) for delta_id in args[0] for entry in db.tables.deltas.get(delta_id, ())]


def _changed_since(db: Db, args: Any) -> list[Row]:
    room_id, pos = args[0], args[1]
    found: list[Row] = []
    for key, rows in db.tables.state.get(room_id, {}).items():
        if any(row.from_pos > pos or pos < row.to_pos < ALWAYS for row in rows):
            past = next((row.event_id for row in rows if row.from_pos <= pos < row.to_pos), None)
            present = rows[-1].event_id if rows[-1].to_pos == ALWAYS else None
            found.append((*key, past, present))
    return found


def _changes_between(db: Db, args: Any) -> list[Row]:
    room_id, after, to = args[:3]
    return [
        (*key, row.event_id, row.from_pos, row.to_pos)
        for key, rows in db.tables.state.get(room_id, {}).items()
        for row in rows
        if after < row.from_pos <= to or after < row.to_pos <= to
    ]


def _current_state(db: Db, args: Any) -> list[Row]:
    return [(*key, row.event_id, row.membership) for key, row in db.tables.current_rows(args[0])]


def _state_facts(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    found: list[Row] = []
    for event_id in dict.fromkeys(args[0]):
        if tables.has(event_id):
            pdu = orjson.loads(tables.events[event_id][1])
            about = (pdu["type"], pdu.get("state_key"), pdu["content"].get("membership"))
            found.append((event_id, tables.status[event_id], *about))
    return found


def _arrivals(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    here = [(one, tables.status[one], tables.events[one][2], None, None) for one in args[0] if tables.has(one)]
    return [*here, *((row[0], None, row[1], tables.events[str(row[1])][1], row[3]) for row in _held(db, args[0]))]


def _held(db: Db, target_ids: Any) -> list[Row]:
    return [row for (target, _), row in db.tables.held.items() if target in target_ids]


def _waiting_for(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    found: list[Row] = []
    for target, one, room_id, *more in _held(db, args[1]):
        if room_id == args[0]:
            state = tables.aside.get(str(one), (None, None, None))[1:]
            event = (tables.events[str(one)][1], tables.status[str(one)])
            found.append((target, one, *event, *more, *state, tables.absent.get(str(one))))
    return found[: args[2]]


def _waiting_redactions(db: Db, args: Any) -> list[Row]:
    return [row for row in _waiting_for(db, args) if db.tables.is_shown(str(row[0]))]


def _came_meanwhile(db: Db, args: Any) -> list[Row]:
    shown = [row for row in db.tables.held.values() if row[2] == args[0] and db.tables.is_shown(str(row[0]))]
    return [(target,) for target in dict.fromkeys(row[0] for row in shown)][: args[1]]


def _next_jobs(db: Db, args: Any) -> list[Row]:
    return [(job_id, "", body, "") for job_id, body in sorted(db.tables.jobs.items())][: args[0]]


def _newest_events(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    newest = {room_id: tables.newest(room_id) for room_id in args[0]}
    return [(room_id, one, tables.events[one][1]) for room_id, one in newest.items() if one is not None]


def _local_memberships(db: Db, args: Any) -> list[Row]:
    memberships = db.tables.memberships.get(args[0], {})
    return [(user_id, *spans[-1].values[:2]) for user_id, spans in memberships.items() if spans[-1].is_open]


def _local_membership(db: Db, args: Any) -> list[Row]:
    span = db.tables.membership_now(args[1], args[0])
    if span is None:
        return []
    membership, event_id, _, stripped, out_of_band = span.values
    return [(membership, event_id, out_of_band, stripped)]


def _servers(db: Db, args: Any) -> list[Row]:
    return [(server,) for server in db.tables.servers_now(args[0])]


def _gap(db: Db, args: Any) -> list[Row]:
    found = db.tables.gaps.get((args[0], args[1]))
    return [] if found is None else [found[:2]]


def _state_pos_at(db: Db, args: Any) -> list[Row]:
    return [(place.state_pos,) for place in db.tables.timeline.get(args[0], ()) if place.order_pos == args[1]][:1]


def _current_entries(db: Db, args: Any) -> list[Row]:
    found: list[Row] = []
    for key in zip(args[0], args[1], strict=True):
        row = db.tables.current(args[2], *key)
        if row is not None:
            found.append((*key, row.event_id))
    return found


def _room_version(db: Db, args: Any) -> list[Row]:
    return [(db.tables.rooms[args[0]],)] if args[0] in db.tables.rooms else []


def _server_is_in_room(db: Db, args: Any) -> list[Row]:
    return [(1,)] if args[1] in db.tables.servers_now(args[0]) else []


def _oldest_servers(db: Db, args: Any) -> list[Row]:
    servers = db.tables.servers.get(args[0], {})
    now = sorted((spans[-1].from_pos, server) for server, spans in servers.items() if spans[-1].is_open)
    return [(server,) for _, server in now[: args[1]]]


def _entries(db: Db, args: Any) -> list[Row]:
    types, state_keys, room_id, _, at = args
    found: list[Row] = []
    for key in zip(types, state_keys, strict=True):
        for row in db.tables.state.get(room_id, {}).get(key, ()):
            if row.from_pos <= at < row.to_pos:
                found.append((*key, row.event_id, db.tables.events[row.event_id][1]))
    return found


def _all_entries(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    return [(*key, one, tables.events[one][1]) for key, one in tables.state_at(args[0], args[1]).items()]


def _place_of_state(db: Db, args: Any) -> list[Row]:
    event_id, room_id = (args["event"], args["room"]) if isinstance(args, dict) else (args[0], args[1])
    tables = db.tables
    place = tables.places.get(event_id)
    if place is not None and place.row[0] == room_id and place.row[2] == 0 and event_id not in tables.late:
        return [(place.state_pos, place.row[11])]
    aside = tables.aside.get(event_id)
    return [] if aside is None or aside[0] != room_id or event_id in tables.partial else [aside[1:]]


def _overridden_state(db: Db, args: Any) -> list[Row]:
    events = db.tables.events
    return [
        (*key, event_id, None if event_id is None else events[event_id][1])
        for *key, event_id in db.tables.deltas.get(args[0], ())
    ]


def _state_ids(db: Db, args: Any) -> list[Row]:
    return [(*key, one) for key, one in db.tables.state_at(args[0], args[1]).items()]


def _overridden_ids(db: Db, args: Any) -> list[Row]:
    return [*db.tables.deltas.get(args[0], ())]


def _event_places(db: Db, args: Any) -> list[Row]:
    places = (db.tables.places.get(one) for one in args[1])
    rows = [place.row for place in places if place is not None]
    return [(row[3], row[1], row[2]) for row in rows if row[0] == args[0]]


def _receipts(db: Db, args: Any) -> list[Row]:
    return [(*key[2:], *row.place) for key, row in db.tables.receipts.items() if key[:2] == (args[0], args[1])]


def _receipts_of(db: Db, args: Any) -> list[Row]:
    room_id, user_ids, receipt_type = args
    return [
        (user_id, thread_id, row.ts, *row.place)
        for (one, user_id, kind, thread_id), row in db.tables.receipts.items()
        if (one, kind) == (room_id, receipt_type) and user_id in user_ids
    ]


_ONE = ["$e"]
MASTER: Final = {
    text_of(jobs.next_jobs, 1): _next_jobs,
    text_of(room_heads.newest_events, ["!r"]): _newest_events,
    text_of(room_heads.forks, ["!r"]): _forks,
    text_of(room_heads.known_events, _ONE): _known_events,
    text_of(room_forks.standings, _ONE): _standings,
    text_of(room_forks.events, _ONE): _events,
    text_of(room_forks.citing, _ONE): _citing,
    text_of(room_forks.places, _ONE): _places,
    text_of(room_forks.deltas, [1]): _deltas,
    text_of(room_forks.changed_since, "!r", 1): _changed_since,
    text_of(room_forks.changes_between, "!r", 1, 2): _changes_between,
    text_of(room_forks.current_state, "!r"): _current_state,
    text_of(room_forks.state_facts, _ONE): _state_facts,
    text_of(room_forks.arrivals, _ONE): _arrivals,
    text_of(room_forks.waiting_for, "!r", _ONE, 1): _waiting_for,
    text_of(room_forks.waiting_redactions, "!r", _ONE, 1): _waiting_redactions,
    text_of(room_forks.came_meanwhile, "!r", 1): _came_meanwhile,
    text_of(room_forks.local_memberships, "!r"): _local_memberships,
    text_of(room_forks.local_membership, "!r", "@u"): _local_membership,
    text_of(room_forks.servers, "!r"): _servers,
    text_of(room_forks.gap, "!r", 1): _gap,
    text_of(room_forks.state_pos_at, "!r", 1): _state_pos_at,
    text_of(room_forks.current_entries, "!r", [("t", "k")]): _current_entries,
    text_of(room_state.room_version, "!r"): _room_version,
    text_of(master_reads.event_places, "!r", _ONE): _event_places,
    text_of(master_reads.receipts, "!r", "@u"): _receipts,
    text_of(master_reads.receipts_of, "!r", ["@u"], "m.read"): _receipts_of,
    text_of(room_directory.is_published, "!r"): lambda db, args: [(False,)] if args[0] in db.tables.rooms else [],
    text_of(room_state.server_is_in_room, "!r", "s"): _server_is_in_room,
    text_of(room_state.servers, "!r", 1): _oldest_servers,
    text_of(room_state.entries, "!r", [("t", "k")], 1): _entries,
    text_of(room_state.all_entries, "!r", 1): _all_entries,
    text_of(server_views.state_before, "!r", "$e"): _place_of_state,
    text_of(server_views.overridden_state, 1): _overridden_state,
    text_of(federated_rooms.state_before, "!r", "$e", first=[(1, 1)]): _state_ids,
    text_of(federated_rooms.state_before, "!r", "$e", first=[(1, 1), ("t", "k", "$e")]): _overridden_ids,
    text_of(delayed_events.due, 1, 1): _nothing,
    text_of(delayed_events.next_due_ms): _nothing,
    text_of(delayed_events.has_finalised_before, 1): _nothing,
}
