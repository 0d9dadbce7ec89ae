"""What waits for other servers, how far each has received, and the transaction that is under way to it.

Rules: the master writes `outgoing_events` and `outgoing_edus`; everything else here is written by the worker that holds
the destination's share, and only with its term: a statement that changes nothing means that another worker holds it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries, Row

LISTED_LIMIT = 1_000  # destinations shown to an operator


class Under(NamedTuple):
    """A transaction that is fixed before it is sent: its id, its time, how far it reaches, the ids of its PDUs and its
    EDUs as a JSON array."""

    txn_id: str
    ts: int
    events_to: int
    devices_to: int
    pdus: str
    edus: str


class Cursor(NamedTuple):
    """How far a destination has received, of events, of what concerns devices, and of what users have read; `under`:
    what is under way."""

    events_to: int
    devices_to: int
    receipts_to: int
    under: Under | None
    failures: int
    retry_at_ms: int


async def claim(db: Queries, destination: str, term: int, clean_to: int) -> Cursor | None:
    """Makes the cursor this term's, and notes that something waits. None: a newer term has it.

    A destination for which nothing waited has received all that its shard has, up to `clean_to`.
    """
    row = await db.fetch_one(
        "INSERT INTO destinations AS d (destination, term, is_behind, events_to, devices_to, receipts_to)"
        " VALUES (%(destination)s, %(term)s, true, %(clean)s, %(clean)s, %(clean)s)"
        " ON CONFLICT (destination) DO UPDATE SET term = excluded.term, is_behind = true,"
        " events_to = CASE WHEN d.is_behind THEN d.events_to ELSE greatest(d.events_to, excluded.events_to) END,"
        " devices_to = CASE WHEN d.is_behind THEN d.devices_to ELSE greatest(d.devices_to, excluded.devices_to) END,"
        " receipts_to = CASE WHEN d.is_behind THEN d.receipts_to ELSE greatest(d.receipts_to, excluded.receipts_to) END"
        " WHERE d.term <= excluded.term"
        " RETURNING events_to, devices_to, coalesce(receipts_to, least(events_to, devices_to)), failures, retry_at_ms,"
        " txn_id, txn_ts, txn_events_to, txn_devices_to, txn_pdus, txn_edus",
        {"destination": destination, "term": term, "clean": clean_to},
    )
    if row is None:
        return None
    events_to, devices_to, receipts_to, failures, retry_at_ms, txn_id, *rest = row
    under = None if txn_id is None else Under(txn_id, *rest)
    return Cursor(events_to, devices_to, receipts_to, under, failures, retry_at_ms)


async def advance(
    db: Queries, destination: str, term: int, received: tuple[int, int, int], under: Under | None, is_behind: bool
) -> bool:
    """This much was received (events, devices, receipts), and this is under way next: one write. False: the share is
    another's.

    What was received of messages to devices is deleted.
    """
    txn: Sequence[object] = (None,) * 6 if under is None else under
    row = await db.fetch_one(
        "WITH moved AS (UPDATE destinations SET events_to = %(events_to)s, devices_to = %(devices_to)s,"
        " receipts_to = %(receipts_to)s, is_behind = %(is_behind)s, txn_id = %(txn_id)s, txn_ts = %(ts)s,"
        " txn_events_to = %(txn_events_to)s,"
        " txn_devices_to = %(txn_devices_to)s, txn_pdus = %(pdus)s, txn_edus = %(edus)s, failures = 0,"
        " retry_at_ms = 0, last_error = NULL WHERE destination = %(destination)s AND term = %(term)s RETURNING 1),"
        " gone AS (DELETE FROM outgoing_edus WHERE destination = %(destination)s AND pos <= %(devices_to)s"
        " AND EXISTS (SELECT FROM moved)) SELECT 1 FROM moved",
        {
            "destination": destination,
            "term": term,
            "events_to": received[0],
            "devices_to": received[1],
            "receipts_to": received[2],
            "is_behind": is_behind,
            "txn_id": txn[0],
            "ts": txn[1],
            "txn_events_to": txn[2],
            "txn_devices_to": txn[3],
            "pdus": txn[4],
            "edus": txn[5],
        },
    )
    return row is not None


async def failed(db: Queries, destination: str, term: int, failures: int, retry_at_ms: int, error: str) -> bool:
    """Notes that it could not be reached. False: the share is another's."""
    return bool(
        await db.execute(
            "UPDATE destinations SET failures = %s, retry_at_ms = %s, last_error = %s"
            " WHERE destination = %s AND term = %s",
            (failures, retry_at_ms, error, destination, term),
        )
    )


async def retire(db: Queries, destination: str, term: int, server_name: str, upto: int) -> bool:
    """Nothing up to there waits for it any more, as `server_name` shares no room with it and no message to a device
    waits. False: that is not so, or the share is another's."""
    return bool(
        await db.execute(
            "UPDATE destinations AS d SET events_to = greatest(events_to, %(upto)s), devices_to = greatest(devices_to,"
            " %(upto)s), receipts_to = greatest(receipts_to, %(upto)s), is_behind = false, txn_id = NULL,"
            " txn_ts = NULL, txn_events_to = NULL, txn_devices_to = NULL, txn_pdus = NULL, txn_edus = NULL,"
            " failures = 0, retry_at_ms = 0, last_error = NULL WHERE destination = %(server)s AND term = %(term)s"
            " AND NOT EXISTS (SELECT FROM outgoing_edus AS waiting WHERE waiting.destination = d.destination)"
            " AND NOT EXISTS (SELECT FROM room_servers AS theirs JOIN room_servers AS ours ON ours.room_id ="
            " theirs.room_id AND ours.server = %(me)s AND ours.to_pos = 9223372036854775807"
            " WHERE theirs.server = %(server)s AND theirs.to_pos = 9223372036854775807)",
            {"server": destination, "term": term, "me": server_name, "upto": upto},
        )
    )


async def events(db: Queries, destination: str, after: int, upto: int, limit: int) -> list[Row]:
    """(pos, event_id, json) of what goes to the destination, in the order of the log.

    It was in the room when the event came, the leave of its last member included, or the event is about a user of it.
    """
    return await db.fetch(
        "SELECT o.pos, e.event_id, e.json FROM ("
        "SELECT o.pos, o.event_id FROM room_servers AS s JOIN outgoing_events AS o ON o.room_id = s.room_id"
        " AND o.pos > %(after)s AND o.pos <= %(upto)s AND o.pos >= s.from_pos AND o.pos <= s.to_pos"
        " WHERE s.server = %(server)s AND s.to_pos > %(after)s"
        " UNION SELECT pos, event_id FROM outgoing_events WHERE target = %(server)s"
        " AND pos > %(after)s AND pos <= %(upto)s"
        " ORDER BY pos LIMIT %(limit)s) AS o JOIN events AS e ON e.event_id = o.event_id ORDER BY o.pos",
        {"server": destination, "after": after, "upto": upto, "limit": limit},
    )


async def newest_events(db: Queries, destination: str, after: int, upto: int, limit: int) -> list[Row]:
    """The same, of each room the newest alone: what a server that was away for long is sent."""
    return await db.fetch(
        "SELECT n.pos, e.event_id, e.json FROM ("
        "SELECT max(o.pos) AS pos, o.room_id FROM room_servers AS s JOIN outgoing_events AS o ON o.room_id = s.room_id"
        " AND o.pos > %(after)s AND o.pos <= %(upto)s AND o.pos >= s.from_pos AND o.pos <= s.to_pos"
        " WHERE s.server = %(server)s AND s.to_pos > %(after)s GROUP BY o.room_id"
        " UNION SELECT pos, room_id FROM outgoing_events WHERE target = %(server)s"
        " AND pos > %(after)s AND pos <= %(upto)s"
        " ORDER BY pos LIMIT %(limit)s) AS n JOIN outgoing_events AS o ON o.room_id = n.room_id AND o.pos = n.pos"
        " JOIN events AS e ON e.event_id = o.event_id ORDER BY n.pos",
        {"server": destination, "after": after, "upto": upto, "limit": limit},
    )


async def pdus(db: Queries, event_ids: Sequence[str]) -> dict[str, str]:
    """JSON by event id."""
    return dict(await db.fetch("SELECT event_id, json FROM events WHERE event_id = ANY(%s)", (list(event_ids),)))


async def messages(db: Queries, destination: str, after: int, upto: int, limit: int) -> list[Row]:
    """(pos, EDU as JSON) of messages to devices."""
    return await db.fetch(
        "SELECT pos, edu FROM outgoing_edus WHERE destination = %s AND pos > %s AND pos <= %s ORDER BY pos LIMIT %s",
        (destination, after, upto, limit),
    )


async def device_changes(db: Queries, destination: str, suffix: str, after: int, upto: int, limit: int) -> list[Row]:
    """(pos, user_id, device ids as a JSON array or NULL) of this server's users who share a room with the destination.

    Their devices or keys changed; or sharing began, of which all devices are told. Who shares a room already with the
    destination is told of nothing by sharing another.
    """
    return await db.fetch(
        "SELECT c.pos, c.user_id, c.device_ids FROM device_list_changes AS c"
        " WHERE c.pos > %(after)s AND c.pos <= %(upto)s AND right(c.user_id, length(%(suffix)s)) = %(suffix)s"
        " AND EXISTS (SELECT FROM local_membership AS m JOIN room_servers AS s ON s.room_id = m.room_id"
        " AND s.server = %(server)s AND s.to_pos = 9223372036854775807 WHERE m.user_id = c.user_id"
        " AND m.to_pos = 9223372036854775807 AND m.membership = 'join')"
        " UNION ALL SELECT greatest(m.from_pos, s.from_pos), m.user_id, NULL FROM room_servers AS s"
        " JOIN local_membership AS m ON m.room_id = s.room_id AND m.to_pos = 9223372036854775807"
        " AND m.membership = 'join' WHERE s.server = %(server)s AND s.to_pos = 9223372036854775807"
        " AND greatest(m.from_pos, s.from_pos) > %(after)s AND greatest(m.from_pos, s.from_pos) <= %(upto)s"
        " AND EXISTS (SELECT FROM device_keys AS k WHERE k.user_id = m.user_id)"
        " AND NOT EXISTS (SELECT FROM local_membership AS other JOIN room_servers AS there"
        " ON there.room_id = other.room_id AND there.server = %(server)s AND there.to_pos = 9223372036854775807"
        " WHERE other.user_id = m.user_id AND other.to_pos = 9223372036854775807 AND other.membership = 'join'"
        " AND (greatest(other.from_pos, there.from_pos), other.room_id)"
        " < (greatest(m.from_pos, s.from_pos), m.room_id))"
        " ORDER BY 1, 2 LIMIT %(limit)s",
        {"server": destination, "suffix": suffix, "after": after, "upto": upto, "limit": limit},
    )


async def receipts(db: Queries, destination: str, suffix: str, after: int, upto: int, limit: int) -> list[Row]:
    """(pos, room_id, user_id, thread_id, event_id, ts) of what this server's users have read since, in rooms that the
    destination is in: of each user and thread the newest alone."""
    return await db.fetch(
        "SELECT r.pos, r.room_id, r.user_id, r.thread_id, r.event_id, r.ts FROM room_servers AS s"
        " JOIN receipts AS r ON r.room_id = s.room_id AND r.pos > %(after)s AND r.pos <= %(upto)s"
        " AND r.receipt_type = 'm.read' AND right(r.user_id, length(%(suffix)s)) = %(suffix)s"
        " WHERE s.server = %(server)s AND s.to_pos = 9223372036854775807 ORDER BY r.pos LIMIT %(limit)s",
        {"server": destination, "suffix": suffix, "after": after, "upto": upto, "limit": limit},
    )


async def previous_change(db: Queries, user_id: str, pos: int) -> int | None:
    """When a device of the user changed before: changed cross-signing keys are told without a number."""
    row = await db.fetch_one(
        "SELECT max(pos) FROM device_list_changes WHERE user_id = %s AND pos < %s AND device_ids IS DISTINCT FROM '[]'",
        (user_id, pos),
    )
    return None if row is None or row[0] is None else int(row[0])


async def changes_of_user(db: Queries, user_id: str, upto: int, limit: int) -> list[Row]:
    """(pos, device ids as a JSON array, or NULL: of all) of the user's last changes of devices, the newest first; one
    more than `limit`, if there is one."""
    return await db.fetch(
        "SELECT pos, device_ids FROM device_list_changes WHERE user_id = %s AND pos <= %s"
        " AND device_ids IS DISTINCT FROM '[]' ORDER BY pos DESC LIMIT %s",
        (user_id, upto, limit + 1),
    )


async def devices(db: Queries, user_id: str) -> list[Row]:
    """(device_id, display_name, keys or NULL, signatures or NULL) of all of the user's devices."""
    return await db.fetch(
        "SELECT d.device_id, d.display_name, k.keys, k.signatures FROM devices AS d LEFT JOIN device_keys AS k"
        " ON k.user_id = d.user_id AND k.device_id = d.device_id WHERE d.user_id = %s ORDER BY d.device_id",
        (user_id,),
    )


# --- which destinations ---------------------------------------------------------------------------------------------


async def clean_to(db: Queries, shards: Sequence[int]) -> dict[int, int]:
    """shard → up to where destinations without a row have received everything."""
    rows = await db.fetch("SELECT shard, clean_to FROM federation_shards WHERE shard = ANY(%s)", (list(shards),))
    return dict(rows)


async def move_clean(db: Queries, terms: dict[int, int], pos: int) -> None:
    """Everything up to `pos` has been received, or its destination has a row that says what is missing."""
    await db.execute(
        "UPDATE federation_shards AS f SET term = held.term, clean_to = greatest(f.clean_to, %s)"
        " FROM unnest(%s::smallint[], %s::bigint[]) AS held (shard, term)"
        " WHERE f.shard = held.shard AND f.term <= held.term",
        (pos, list(terms), list(terms.values())),
    )


async def behind(db: Queries) -> list[str]:
    """The destinations whose rows say that something waits."""
    return [row[0] for row in await db.fetch("SELECT destination FROM destinations WHERE is_behind")]


async def concerned_since(db: Queries, suffix: str, pos: int) -> list[str]:
    """The destinations for which anything has come up since."""
    rows = await db.fetch(
        "SELECT s.server FROM outgoing_events AS o JOIN room_servers AS s ON s.room_id = o.room_id"
        " AND o.pos >= s.from_pos AND o.pos <= s.to_pos WHERE o.pos > %(pos)s"
        " UNION SELECT target FROM outgoing_events WHERE pos > %(pos)s AND target IS NOT NULL"
        " UNION SELECT destination FROM outgoing_edus"
        " UNION SELECT s.server FROM device_list_changes AS c JOIN local_membership AS m ON m.user_id = c.user_id"
        " AND m.to_pos = 9223372036854775807 AND m.membership = 'join' JOIN room_servers AS s"
        " ON s.room_id = m.room_id AND s.to_pos = 9223372036854775807"
        " WHERE c.pos > %(pos)s AND right(c.user_id, length(%(suffix)s)) = %(suffix)s"
        " UNION SELECT s.server FROM room_servers AS s WHERE s.to_pos = 9223372036854775807"
        " AND EXISTS (SELECT FROM receipts AS r WHERE r.room_id = s.room_id AND r.pos > %(pos)s"
        " AND r.receipt_type = 'm.read' AND right(r.user_id, length(%(suffix)s)) = %(suffix)s)",
        {"suffix": suffix, "pos": pos},
    )
    return [row[0] for row in rows]


async def servers_of_rooms(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """(room_id, server) of who is in the rooms now."""
    return await db.fetch(
        "SELECT room_id, server FROM room_servers WHERE room_id = ANY(%s) AND to_pos = 9223372036854775807",
        (list(room_ids),),
    )


async def servers_of_users(db: Queries, user_ids: Sequence[str]) -> list[Row]:
    """(user_id, server) of who shares a room with the users."""
    return await db.fetch(
        "SELECT DISTINCT m.user_id, s.server FROM local_membership AS m JOIN room_servers AS s"
        " ON s.room_id = m.room_id AND s.to_pos = 9223372036854775807 WHERE m.user_id = ANY(%s)"
        " AND m.to_pos = 9223372036854775807 AND m.membership = 'join'",
        (list(user_ids),),
    )


async def listed(db: Queries) -> list[Row]:
    """(destination, is_behind, events_to, failures, retry_at_ms, last_error), the failing ones first."""
    return await db.fetch(
        "SELECT destination, is_behind, events_to, failures, retry_at_ms, last_error FROM destinations"
        " ORDER BY failures DESC, destination LIMIT %s",
        (LISTED_LIMIT,),
    )


async def one(db: Queries, destination: str) -> Row | None:
    """The same of one."""
    return await db.fetch_one(
        "SELECT destination, is_behind, events_to, failures, retry_at_ms, last_error FROM destinations"
        " WHERE destination = %s",
        (destination,),
    )


async def is_failing(db: Queries, destination: str) -> bool:
    """Whether the last try to reach it failed."""
    row = await db.fetch_one("SELECT failures FROM destinations WHERE destination = %s", (destination,))
    return row is not None and row[0] > 0
