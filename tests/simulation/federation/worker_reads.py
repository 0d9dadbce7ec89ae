"""The statements by which workers take in what other servers send, answer them, and join rooms elsewhere."""

from collections import Counter
from typing import Any, Final

import orjson

from hs_common.storage import (
    federated_rooms,
    inbound_pdus,
    inbound_receipts,
    remote_devices,
    room_events,
    room_gaps,
    room_members,
    room_state,
    room_views,
    server_views,
    users,
)
from hs_common.storage.inbound_pdus import StagedPdu
from hs_common.storage.inbound_receipts import WaitingReceipt
from hs_common.storage.queries import Row
from hs_common.storage.room_forks import OUT_OF_BAND, REJECTED, SOFT_FAILED, WITHOUT_STATE
from tests.simulation.federation.database import FederationDatabase as Db
from tests.simulation.federation.tables import SERVER_ACL_KEY, StagedRow, WaitingRow
from tests.simulation.queries import text_of
from tests.simulation.tables import TimelineRow


def _nothing(db: Db, args: Any) -> list[Row]:
    return []


# --- rooms ---


def _acl(db: Db, room_id: str) -> str | None:
    row = db.tables.current(room_id, *SERVER_ACL_KEY)
    return None if row is None else str(db.tables.events[row.event_id][1])


def _joining(db: Db, room_id: str) -> str | None:
    row = db.workers.joining.get(room_id)
    return None if row is None or row[2] <= db.clock.now else row[0]


def _room_facts(db: Db, args: Any) -> list[Row]:
    name, rooms = args
    tables = db.tables
    return [
        (one, tables.rooms.get(one), name in tables.servers_now(one), _joining(db, one), _acl(db, one)) for one in rooms
    ]


def _begin_joining(db: Db, args: Any) -> list[Row]:
    room_id, version, attempt, seconds = args
    if _joining(db, room_id) is not None:
        return []
    db.workers.joining[room_id] = (version, attempt, db.clock.now + seconds)
    return [(1,)]


def _go_on_joining(db: Db, args: Any) -> list[Row]:
    seconds, room_id, attempt = args
    row = db.workers.joining.get(room_id)
    if row is None or row[1] != attempt or _joining(db, room_id) is None:
        return []
    db.workers.joining[room_id] = (*row[:2], db.clock.now + seconds)
    return [(1,)]


def _end_joining(db: Db, args: Any) -> list[Row]:
    row = db.workers.joining.get(args[0])
    if row is not None and row[1] == args[1]:
        del db.workers.joining[args[0]]
    return []


def _give_up_joining(db: Db, args: Any) -> list[Row]:
    row = db.workers.joining.get(args[0])
    if row is not None and row[1] == args[1]:
        db.workers.joining[args[0]] = (*row[:2], db.clock.now)
    return []


def _is_being_joined(db: Db, args: Any) -> list[Row]:
    return [] if _joining(db, args[0]) is None else [(1,)]


def _out_of_band(db: Db, args: Any) -> list[Row]:
    span = db.tables.membership_now(args[1], args[0])
    if span is None or not span.values[4] or span.values[0] not in ("invite", "knock"):
        return []
    return [span.values[:3]]


def _known_ids(db: Db, args: Any) -> list[Row]:
    return [(one,) for one in args[0] if db.tables.has(one)]


def _fork(db: Db, args: Any) -> list[Row]:
    return [(db.tables.forks[args[0]][0],)] if args[0] in db.tables.forks else []


def _newest(db: Db, args: Any) -> list[Row]:
    newest = db.tables.newest(args[0])
    return [] if newest is None else [(newest,)]


def _entered_by(db: Db, args: Any) -> list[Row]:
    room_id, server = args
    spans = db.tables.servers.get(room_id, {}).get(server, ())
    at = [span.from_pos for span in spans if span.is_open]
    places = db.tables.timeline.get(room_id, ())
    return [(db.tables.events[place.event_id][1],) for place in places if place.order_pos in at and place.row[2] == 0]


def _pdus(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    return [(one, tables.events[one][1]) for one in args[0] if _may_be_told(db, one)]


def _may_be_told(db: Db, event_id: str) -> bool:
    return db.tables.has(event_id) and db.tables.status[event_id] != REJECTED


def _room_version_told(db: Db, args: Any) -> list[Row]:
    span = db.tables.membership_now(args[1], args[0])
    shown = [] if span is None or span.values[3] is None else orjson.loads(span.values[3])
    creates = [entry for entry in shown if entry["type"] == "m.room.create"]
    return [(creates[0]["content"].get("room_version", "1") if creates else None,)] if span is not None else []


def _senders_told(db: Db, args: Any) -> list[Row]:
    span = db.tables.membership_now(args[0], args[1])
    shown = [] if span is None or span.values[3] is None else orjson.loads(span.values[3])
    ordered = sorted(shown, key=lambda entry: entry["type"] != "m.room.create")
    return [(entry["sender"],) for entry in ordered[: args[2]]]


def _servers_ever(db: Db, args: Any) -> list[Row]:
    ever = [
        (-max(span.to_pos for span in spans), spans[0].from_pos, server)
        for server, spans in db.tables.servers.get(args[0], {}).items()
    ]
    return [(server,) for _, _, server in sorted(ever)[: args[1]]]


def _accounts(db: Db, args: Any) -> list[Row]:
    return [(one, None, False, False, False, False, False, False, None) for one in args[0] if one in db.workers.users]


def _is_joined_to_any(db: Db, args: Any) -> list[Row]:
    spans = [db.tables.membership_now(room_id, args[0]) for room_id in args[1]]
    return [(1,) for span in spans if span is not None and span.values[0] == "join"][:1]


def _joined_local_users(db: Db, args: Any) -> list[Row]:
    room_id, _, among, without, limit = args
    here = [
        (spans[-1].from_pos, user_id)
        for user_id, spans in db.tables.memberships.get(room_id, {}).items()
        if spans[-1].is_open and spans[-1].values[0] == "join" and user_id not in without
    ]
    return [(user_id,) for _, user_id in sorted(here) if args[1] is None or user_id in among][:limit]


def _rooms_of_server(db: Db, args: Any) -> list[Row]:
    return [(room_id,) for room_id in args[1] if args[0] in db.tables.servers_now(room_id)]


def _memberships(db: Db, args: Any) -> list[Row]:
    rows = [(*pair, db.tables.current(pair[0], "m.room.member", pair[1])) for pair in zip(*args, strict=True)]
    return [(room_id, user_id, row.membership) for room_id, user_id, row in rows if row is not None]


def _cited_memberships(db: Db, args: Any) -> list[Row]:
    room_id, user_id, event_ids = args
    rows = db.tables.state[room_id].get(("m.room.member", user_id), [])
    return [(row.membership,) for row in rows if row.event_id in event_ids]


# --- what others may see ---


def _standing(db: Db, args: Any) -> list[Row]:
    room_id = args["room"]
    if room_id not in db.tables.rooms:
        return []
    now = db.tables.servers_now(room_id)
    return [(db.tables.rooms[room_id], args["own"] in now, args["server"] in now, _acl(db, room_id))]


def _joined_spans(db: Db, args: Any) -> list[Row]:
    return [(span.from_pos, span.to_pos) for span in db.tables.servers.get(args[0], {}).get(args[1], ())]


def _visibilities(db: Db, args: Any) -> list[Row]:
    rows = db.tables.state.get(args[0], {}).get(("m.room.history_visibility", ""), ())
    return [(row.from_pos, row.to_pos, db.tables.events[row.event_id][1]) for row in rows]


def _told_as_state(db: Db, args: Any) -> list[Row]:
    types, state_keys, room_id, server, event_ids = args
    stays = db.tables.servers.get(room_id, {}).get(server, ())
    rows = [row for key in zip(types, state_keys, strict=True) for row in db.tables.state.get(room_id, {}).get(key, ())]
    told = {
        row.event_id for row in rows for stay in stays if row.from_pos <= stay.to_pos and stay.from_pos <= row.to_pos
    }
    return [(one,) for one in sorted(told.intersection(event_ids))]


def _invited_spans(db: Db, args: Any) -> list[Row]:
    room_id, _, suffix = args
    return sorted(
        (row.from_pos, row.to_pos)
        for (event_type, state_key), rows in db.tables.state.get(room_id, {}).items()
        for row in rows
        if event_type == "m.room.member" and state_key.endswith(suffix) and row.membership == "invite"
    )


def _event_room(db: Db, args: Any) -> list[Row]:
    return [(db.tables.events[args[0]][0],)] if _may_be_told(db, args[0]) else []


def _event_json(db: Db, args: Any) -> list[Row]:
    return [row for row in _pdus(db, args) if db.tables.events[row[0]][0] == args[1]]


def _soft_failed(db: Db, args: Any) -> list[Row]:
    tables = db.tables
    found: list[Row] = []
    for one in args[0]:
        if tables.status.get(one) == SOFT_FAILED and tables.events[one][0] == args[1] and one in tables.aside:
            _, json, redacted_by = tables.events[one]
            found.append((one, *tables.aside[one][1:], tables.replaces[one], redacted_by, json))
    return found


def _shown(db: Db, place: TimelineRow) -> Row:
    _, json, redacted_by = db.tables.events[place.event_id]
    row = place.row
    rest = (row[8], row[10], row[11], row[12], row[13], db.tables.replaces.get(place.event_id), redacted_by, json)
    return (*row[:8], *rest)


def _timeline_events(db: Db, args: Any) -> list[Row]:
    places = (db.tables.places.get(one) for one in args[0])
    return [_shown(db, place) for place in places if place is not None and place.row[0] == args[1]]


def _page_back(db: Db, args: Any) -> list[Row]:
    low, high = (args["low_pos"], args["low_sub"]), (args["high_pos"], args["high_sub"])
    shown = [*db.tables.timeline.get(args["room"], ()), *db.tables.history.get(args["room"], ())]
    places = [place for place in shown if low < (place.order_pos, place.row[2]) <= high]
    places.sort(key=lambda place: (-place.order_pos, -int(place.row[2])))
    return [_shown(db, place) for place in places[: args["limit"]]]


def _overrides(db: Db, args: Any) -> list[Row]:
    looked_at = (("m.room.history_visibility", ""), ("m.room.member", args[1]))
    events = db.tables.events
    return [
        (delta_id, event_type, None if event_id is None else events[event_id][1])
        for delta_id in args[0]
        for event_type, state_key, event_id in db.tables.deltas.get(delta_id, ())
        if (event_type, state_key) in looked_at
    ]


# --- gaps ---


def _newest_gap(db: Db, args: Any) -> list[Row]:
    room_id, below, above = args[0], tuple(args[1:3]), tuple(args[3:5])
    gaps = [(pos, *row) for (one, pos), row in db.tables.gaps.items() if one == room_id and row.again_ms <= args[5]]
    return [gap[:4] for gap in sorted((gap for gap in gaps if above <= gap[:2] < below), reverse=True)[:1]]


def _count_between(db: Db, args: Any) -> list[Row]:
    room_id, low, high, limit = args[0], tuple(args[1:3]), tuple(args[3:5]), args[5]
    shown = [*db.tables.timeline.get(room_id, ()), *db.tables.history.get(room_id, ())]
    return [(min(limit, sum(low < (place.order_pos, place.row[2]) <= high for place in shown)),)]


def _in_timeline(db: Db, args: Any) -> list[Row]:
    statuses = db.tables.status
    return [(one,) for one in args[0] if statuses.get(one, OUT_OF_BAND) not in (WITHOUT_STATE, OUT_OF_BAND)]


# --- what waits ---


def _stage(db: Db, args: Any) -> list[Row]:
    gone_rooms, gone_events, *new = args
    _remove(db, (gone_rooms, gone_events))
    workers = db.workers
    for room_id, event_id, shard, origin, json in zip(*new, strict=True):
        row = workers.staged.get((room_id, event_id))
        if row is not None:
            row.retry_at = float("-inf")
            continue
        workers.sequence += 1
        workers.staged[room_id, event_id] = StagedRow(workers.sequence, room_id, event_id, shard, origin, json)
    return []


def _due(db: Db) -> list[StagedRow]:
    return [row for row in db.workers.staged.values() if row.retry_at <= db.clock.now]


def _waiting_rooms(db: Db, args: Any) -> list[Row]:
    shards, without, limit = args
    due = [row for row in _due(db) if row.shard in shards and row.origin not in without]
    first = {row.room_id: row.origin for row in reversed(due)}
    return [(room_id, count, first[room_id]) for room_id, count in Counter(row.room_id for row in due).items()][:limit]


def _of_room(db: Db, args: Any) -> list[Row]:
    room_id, limit = args
    rows = [row for row in _due(db) if row.room_id == room_id][:limit]
    return [(row.room_id, row.event_id, row.origin, row.json, row.attempts) for row in rows]


def _remove(db: Db, args: Any) -> list[Row]:
    for place in zip(*args, strict=True):
        db.workers.staged.pop(place, None)
    return []


def _retry_later(db: Db, args: Any) -> list[Row]:
    seconds, room_id, event_ids = args
    for row in _wait(db, seconds, room_id, event_ids):
        row.attempts += 1
    return []


def _wait(db: Db, seconds: float, room_id: str, event_ids: list[str]) -> list[StagedRow]:
    staged = db.workers.staged
    rows = [staged[room_id, one] for one in event_ids if (room_id, one) in staged]
    for row in rows:
        row.retry_at = db.clock.now + seconds
    return rows


def _wait_on(db: Db, args: Any) -> list[Row]:
    _wait(db, *args)
    return []


def _count_of_origin(db: Db, args: Any) -> list[Row]:
    return [(sum(row.origin == args[0] for row in db.workers.staged.values()),)]


def _keep_receipts(db: Db, args: Any) -> list[Row]:
    origin, seconds, *new, _, limit = args
    waiting = db.workers.waiting
    if sum(row.origin == origin for row in waiting.values()) >= limit:
        return []
    for room_id, user_id, thread_id, event_id, ts in zip(*new, strict=True):
        old = waiting.get((room_id, user_id, thread_id))
        if old is None or old.ts < ts:
            waiting[room_id, user_id, thread_id] = WaitingRow(event_id, ts, origin, db.clock.now + seconds)
    return []


def _remove_receipts(db: Db, args: Any) -> list[Row]:
    waiting = db.workers.waiting
    for *key, ts in zip(*args, strict=True):
        row = waiting.get((key[0], key[1], key[2]))
        if row is not None and row.ts == ts:
            del waiting[key[0], key[1], key[2]]
    return []


def _due_receipts(db: Db, args: Any) -> list[Row]:
    seconds, growth, limit = args
    due = [(key, row) for key, row in db.workers.waiting.items() if row.retry_at <= db.clock.now]
    taken = sorted(due, key=lambda one: one[1].retry_at)[:limit]
    rows = [(*key, row.event_id, row.ts, row.attempts) for key, row in taken]
    for _, row in taken:
        row.retry_at = db.clock.now + seconds * growth**row.attempts
        row.attempts += 1
    return rows


_ONE = ["$e"]
_PDU = StagedPdu("!r", "$e", "s", b"")
_RECEIPT = WaitingReceipt("!r", "@u", "", "$e", 1)
WORKER: Final = {
    text_of(federated_rooms.room_facts, "s", ["!r"]): _room_facts,
    text_of(federated_rooms.begin_joining, "!r", "1", "a", 1.0): _begin_joining,
    text_of(federated_rooms.go_on_joining, "!r", "a", 1.0): _go_on_joining,
    text_of(federated_rooms.end_joining, "!r", "a"): _end_joining,
    text_of(federated_rooms.give_up_joining, "!r", "a"): _give_up_joining,
    text_of(federated_rooms.left_behind, "!r", "a", 1): lambda db, args: [(0,)],  # nothing is swept here
    text_of(federated_rooms.is_being_joined, "!r"): _is_being_joined,
    text_of(federated_rooms.out_of_band, "!r", "@u"): _out_of_band,
    text_of(federated_rooms.known_events, _ONE): _known_ids,
    text_of(federated_rooms.extremities, "!r"): _fork,
    text_of(federated_rooms.extremities, "!r", first=[None]): _newest,
    text_of(federated_rooms.entered_by, "!r", "s"): _entered_by,
    text_of(federated_rooms.pdus, _ONE): _pdus,
    text_of(federated_rooms.room_version_told, "!r", "@u"): _room_version_told,
    text_of(federated_rooms.senders_told, "!r", "@u", 1): _senders_told,
    text_of(federated_rooms.servers_ever, "!r", 1): _servers_ever,
    text_of(room_state.rooms_of_server, "s", ["!r"]): _rooms_of_server,
    text_of(federated_rooms.memberships, [("!r", "@u")]): _memberships,
    text_of(federated_rooms.cited_memberships, "!r", "@u", _ONE): _cited_memberships,
    text_of(room_members.is_joined_to_any, "@u", ["!r"]): _is_joined_to_any,
    text_of(room_members.joined_local_users, "!r", None, [], 1): _joined_local_users,
    text_of(users.accounts, ["@u"]): _accounts,
    text_of(users.erasures, ["@u"]): _nothing,  # nobody here asks to be forgotten
    text_of(room_members.blocking_invites, ["@u"]): _nothing,
    text_of(server_views.standing, "!r", "s", "o"): _standing,
    text_of(server_views.joined_spans, "!r", "s"): _joined_spans,
    text_of(server_views.visibilities, "!r"): _visibilities,
    text_of(server_views.invited_spans, "!r", "s"): _invited_spans,
    text_of(server_views.told_as_state, "!r", "s", [("t", "k")], _ONE): _told_as_state,
    text_of(server_views.event_room, "$e"): _event_room,
    text_of(server_views.event_json, "!r", _ONE): _event_json,
    text_of(server_views.without_imported, _ONE): _nothing,  # nobody here imports
    text_of(server_views.soft_failed, "!r", _ONE): _soft_failed,
    text_of(room_events.events, "!r", _ONE): _timeline_events,
    text_of(room_events.page, "!r", (0, 0), (1, 0), forwards=False, limit=1, senders=None): _page_back,
    text_of(room_views.overrides, [1], ""): _overrides,
    text_of(room_gaps.newest_gap, "!r", (0, 0), (0, 0), 0): _newest_gap,
    text_of(room_gaps.count_between, "!r", (0, 0), (0, 0), 1): _count_between,
    text_of(room_gaps.in_timeline, _ONE): _in_timeline,
    text_of(inbound_pdus.stage, [1], [_PDU]): _stage,
    text_of(inbound_pdus.waiting_rooms, [1], 1): _waiting_rooms,
    text_of(inbound_pdus.of_room, "!r", 1): _of_room,
    text_of(inbound_pdus.remove, [("!r", "$e")]): _remove,
    text_of(inbound_pdus.retry_later, "!r", _ONE, 1.0): _retry_later,
    text_of(inbound_pdus.wait, "!r", _ONE, 1.0): _wait_on,
    text_of(inbound_pdus.count_of_origin, "s"): _count_of_origin,
    text_of(inbound_pdus.backlog, [1]): lambda db, args: [(0, 0.0)],
    text_of(inbound_receipts.keep, [_RECEIPT], "s", 1, 1.0): _keep_receipts,
    text_of(inbound_receipts.remove, [_RECEIPT]): _remove_receipts,
    text_of(inbound_receipts.take_due, 1.0, 1.0, 1): _due_receipts,
    text_of(remote_devices.stale_lists, [1], 1): _nothing,  # nobody here has devices
    text_of(remote_devices.lists_after, [1], "", 1): _nothing,
}
