"""The statements of shares, and by which senders know what waits for whom and note how far it was received."""

from collections.abc import Iterator
from typing import Any, Final

from hs_common.storage import destinations, shares
from hs_common.storage.destinations import Under
from hs_common.storage.queries import Row
from hs_common.storage.shares import Share
from tests.simulation.federation.database import FederationDatabase as Db
from tests.simulation.federation.tables import DestinationRow
from tests.simulation.queries import text_of


def _nothing(db: Db, args: Any) -> list[Row]:
    return []


# --- what waits ---


def _claim(db: Db, args: Any) -> list[Row]:
    rows, name, term, clean = db.workers.destinations, args["destination"], args["term"], args["clean"]
    row = rows.get(name)
    if row is None:
        row = rows[name] = DestinationRow(term, clean, clean, clean)
    elif row.term > term:
        return []
    elif not row.is_behind:
        row.events_to, row.devices_to = max(row.events_to, clean), max(row.devices_to, clean)
        row.receipts_to = max(row.receipts_to, clean)
    row.term, row.is_behind = term, True
    return [(row.events_to, row.devices_to, row.receipts_to, row.failures, row.retry_at_ms, *row.under)]


def _held_row(db: Db, name: str, term: int) -> DestinationRow | None:
    row = db.workers.destinations.get(name)
    return row if row is not None and row.term == term else None


def _advance(db: Db, args: Any) -> list[Row]:
    row = _held_row(db, args["destination"], args["term"])
    if row is None:
        return []
    row.events_to, row.devices_to, row.is_behind = args["events_to"], args["devices_to"], args["is_behind"]
    row.receipts_to = args["receipts_to"]
    names = ("txn_id", "ts", "txn_events_to", "txn_devices_to", "pdus", "edus")
    row.under = tuple(args[name] for name in names)
    row.failures = row.retry_at_ms = 0
    waiting = db.tables.outgoing_edus[args["destination"]]
    waiting[:] = [(pos, edu) for pos, edu in waiting if pos > args["devices_to"]]
    return [(1,)]


def _failed(db: Db, args: Any) -> list[Row]:
    failures, retry_at_ms, _, name, term = args
    row = _held_row(db, name, term)
    if row is None:
        return []
    row.failures, row.retry_at_ms = failures, retry_at_ms
    return [(1,)]


def _in_rooms(db: Db, args: Any) -> Iterator[tuple[int, str, str]]:
    """(pos, event, room) of what came while the server was in the room."""
    server = args["server"]
    for room_id, pos, event_id, _ in db.tables.outgoing:
        spans = db.tables.servers.get(room_id, {}).get(server, ())
        if args["after"] < pos <= args["upto"] and any(span.from_pos <= pos <= span.to_pos for span in spans):
            yield pos, event_id, room_id


def _targeted(db: Db, args: Any) -> Iterator[tuple[int, str, str]]:
    for room_id, pos, event_id, target in db.tables.outgoing:
        if target == args["server"] and args["after"] < pos <= args["upto"]:
            yield pos, event_id, room_id


def _events(db: Db, args: Any) -> list[Row]:
    rows = sorted({*_in_rooms(db, args), *_targeted(db, args)})[: args["limit"]]
    return [(pos, event_id, db.tables.events[event_id][1]) for pos, event_id, _ in rows]


def _newest_events(db: Db, args: Any) -> list[Row]:
    newest = {room_id: (pos, event_id, room_id) for pos, event_id, room_id in sorted(_in_rooms(db, args))}
    rows = sorted({*newest.values(), *_targeted(db, args)})[: args["limit"]]
    return [(pos, event_id, db.tables.events[event_id][1]) for pos, event_id, _ in rows]


def _pdus(db: Db, args: Any) -> list[Row]:
    return [(one, db.tables.events[one][1]) for one in args[0] if one in db.tables.events]


def _messages(db: Db, args: Any) -> list[Row]:
    destination, after, upto, limit = args
    return [(pos, edu) for pos, edu in db.tables.outgoing_edus[destination] if after < pos <= upto][:limit]


def _receipts(db: Db, args: Any) -> list[Row]:
    rows = [
        (row.pos, room_id, user_id, thread_id, row.event_id, row.ts)
        for (room_id, user_id, receipt_type, thread_id), row in db.tables.receipts.items()
        if receipt_type == "m.read"
        and user_id.endswith(args["suffix"])
        and args["after"] < row.pos <= args["upto"]
        and args["server"] in db.tables.servers_now(room_id)
    ]
    return sorted(rows)[: args["limit"]]


def _clean_to(db: Db, args: Any) -> list[Row]:
    return [(shard, db.workers.clean_to[shard][0]) for shard in args[0]]


def _move_clean(db: Db, args: Any) -> list[Row]:
    pos, shards, terms = args
    for shard, term in zip(shards, terms, strict=True):
        clean, before = db.workers.clean_to[shard]
        if before <= term:
            db.workers.clean_to[shard] = (max(clean, pos), term)
    return []


def _behind(db: Db, args: Any) -> list[Row]:
    return [(name,) for name, row in db.workers.destinations.items() if row.is_behind]


def _concerned_since(db: Db, args: Any) -> list[Row]:
    concerned: dict[str, None] = {name: None for name, waiting in db.tables.outgoing_edus.items() if waiting}
    for room_id, pos, _, target in db.tables.outgoing:
        if pos > args["pos"]:
            for server, spans in db.tables.servers.get(room_id, {}).items():
                if any(span.from_pos <= pos <= span.to_pos for span in spans):
                    concerned[server] = None
            if target is not None:
                concerned[target] = None
    for (room_id, user_id, receipt_type, _), row in db.tables.receipts.items():
        if row.pos > args["pos"] and receipt_type == "m.read" and user_id.endswith(args["suffix"]):
            concerned.update(dict.fromkeys(db.tables.servers_now(room_id)))
    return [(server,) for server in concerned]


def _servers_of_rooms(db: Db, args: Any) -> list[Row]:
    return [(room_id, server) for room_id in args[0] for server in db.tables.servers_now(room_id)]


def _is_failing(db: Db, args: Any) -> list[Row]:
    row = db.workers.destinations.get(args[0])
    return [] if row is None else [(row.failures,)]


# --- shares ---


def _shares(db: Db, args: Any) -> list[Row]:
    return [(shard, row.holder, row.term, row.beat) for shard, row in db.workers.shares[args[0]].items()]


def _renew(db: Db, args: Any) -> list[Row]:
    duty, holder = args
    held = [(shard, row) for shard, row in db.workers.shares[duty].items() if row.holder == holder]
    for _, row in held:
        row.beat += 1
    return [(shard, row.term) for shard, row in held]


def _take(db: Db, args: Any) -> list[Row]:
    holder, shards, terms, beats, duty = args
    taken: list[Row] = []
    for shard, term, beat in zip(shards, terms, beats, strict=True):
        row = db.workers.shares[duty][shard]
        if (row.term, row.beat) == (term, beat):
            row.holder, row.term, row.beat = holder, term + 1, beat + 1
            taken.append((shard, row.term))
    return taken


def _release(db: Db, args: Any) -> list[Row]:
    duty, holder, shards = args
    for shard in shards:
        row = db.workers.shares[duty][shard]
        if row.holder == holder:
            row.holder = None
    return []


_UNDER = Under("t", 1, 1, 1, "", "[]")
SENDER: Final = {
    text_of(destinations.claim, "s", 1, 1): _claim,
    text_of(destinations.advance, "s", 1, (1, 1, 1), _UNDER, True): _advance,
    text_of(destinations.failed, "s", 1, 1, 1, "e"): _failed,
    text_of(destinations.events, "s", 1, 1, 1): _events,
    text_of(destinations.newest_events, "s", 1, 1, 1): _newest_events,
    text_of(destinations.pdus, ["$e"]): _pdus,
    text_of(destinations.messages, "s", 1, 1, 1): _messages,
    text_of(destinations.device_changes, "s", ":o", 1, 1, 1): _nothing,  # nobody here has keys
    text_of(destinations.receipts, "s", ":o", 1, 1, 1): _receipts,
    text_of(destinations.clean_to, [1]): _clean_to,
    text_of(destinations.move_clean, {1: 1}, 1): _move_clean,
    text_of(destinations.behind): _behind,
    text_of(destinations.concerned_since, ":o", 1): _concerned_since,
    text_of(destinations.servers_of_rooms, ["!r"]): _servers_of_rooms,
    text_of(destinations.is_failing, "s"): _is_failing,
    text_of(shares.shares, "d"): _shares,
    text_of(shares.renew, "d", "h"): _renew,
    text_of(shares.take, "d", "h", [Share(1, None, 1, 1)]): _take,
    text_of(shares.release, "d", "h", [1]): _release,
}
