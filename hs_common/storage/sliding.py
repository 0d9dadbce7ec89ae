"""What sliding sync keeps and asks besides what /sync does: connections, and the order of a user's rooms.

`sliding_connections` is unlogged and written by sync workers: what is lost makes clients begin anew. A version of a
connection never changes; a client may come back with the one before the last.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row

KEPT_VERSIONS = 4  # of one connection: that which the client came with, what came of it, and of repeated requests
KEPT_CONNECTIONS = 16  # of one device; clients have two or three
KEPT_DAYS = 30  # after which a client that always had the same rooms begins anew, once


async def connection(db: Queries, user_id: str, device_id: str, conn_id: str, version: str) -> bytes | None:
    """What a version of a connection has been sent."""
    row = await db.fetch_one(
        "SELECT body FROM sliding_connections WHERE user_id = %s AND device_id = %s AND conn_id = %s AND version = %s",
        (user_id, device_id, conn_id, version),
    )
    return None if row is None else bytes(row[0])


async def keep_connection(
    db: Queries, user_id: str, device_id: str, conn_id: str, version: str, body: bytes, came_with: str
) -> None:
    """Keeps a version; of older ones only the newest few and the one that the client came with."""
    await db.execute(
        """
        WITH gone AS (
            DELETE FROM sliding_connections AS s
             WHERE user_id = %(user)s AND device_id = %(device)s AND conn_id = %(conn)s
               AND version NOT IN (%(version)s, %(came_with)s)
               AND version NOT IN (SELECT version FROM sliding_connections
                                    WHERE user_id = %(user)s AND device_id = %(device)s AND conn_id = %(conn)s
                                    ORDER BY made DESC LIMIT %(kept)s)
        )
        INSERT INTO sliding_connections (user_id, device_id, conn_id, version, body)
        VALUES (%(user)s, %(device)s, %(conn)s, %(version)s, %(body)s)
        ON CONFLICT (user_id, device_id, conn_id, version) DO UPDATE SET made = clock_timestamp()
        """,
        {
            "user": user_id,
            "device": device_id,
            "conn": conn_id,
            "version": version,
            "body": body,
            "came_with": came_with,
            "kept": KEPT_VERSIONS - 2,
        },
    )


async def begin_connection(
    db: Queries, user_id: str, device_id: str, conn_id: str, version: str, body: bytes, took_s: float
) -> None:
    """A connection began anew, so many seconds ago, and this is its first version: those that it had then go, and the
    device's connections that were used longest ago."""
    await db.execute(
        """
        WITH gone AS (
            DELETE FROM sliding_connections WHERE user_id = %(user)s AND device_id = %(device)s
               AND ((conn_id = %(conn)s AND version <> %(version)s
                     AND made <= clock_timestamp() - make_interval(secs => %(took)s))
                 OR (conn_id <> %(conn)s AND conn_id NOT IN (
                    SELECT conn_id FROM sliding_connections
                     WHERE user_id = %(user)s AND device_id = %(device)s AND conn_id <> %(conn)s
                     GROUP BY conn_id ORDER BY max(made) DESC LIMIT %(kept)s)))
        )
        INSERT INTO sliding_connections (user_id, device_id, conn_id, version, body)
        VALUES (%(user)s, %(device)s, %(conn)s, %(version)s, %(body)s)
        ON CONFLICT (user_id, device_id, conn_id, version) DO UPDATE SET made = clock_timestamp()
        """,
        {
            "user": user_id,
            "device": device_id,
            "conn": conn_id,
            "version": version,
            "body": body,
            "took": took_s,
            "kept": KEPT_CONNECTIONS - 1,
        },
    )


async def sweep_connections(db: Queries) -> int:
    """Drops what is old, and what belongs to devices that are no more. How many versions that were."""
    return await db.execute(
        "DELETE FROM sliding_connections AS s WHERE made < now() - make_interval(days => %s)"
        " OR (device_id <> '' AND NOT EXISTS (SELECT FROM devices AS d WHERE d.user_id = s.user_id"
        " AND d.device_id = s.device_id))",
        (KEPT_DAYS,),
    )


async def newest_events(db: Queries, room_ids: Sequence[str], upto: int) -> list[Row]:
    """(room_id, position of the newest live event, NULL for none) of every room."""
    return await db.fetch(
        "SELECT w.room_id, (SELECT t.order_pos FROM timeline AS t WHERE t.room_id = w.room_id"
        " AND t.order_pos <= %s AND t.order_sub = 0 ORDER BY t.order_pos DESC LIMIT 1)"
        " FROM unnest(%s::text[]) AS w (room_id)",
        (upto, list(room_ids)),
    )


async def newest_changes(db: Queries, room_ids: Sequence[str], upto: int) -> list[Row]:
    """(room_id, position of the newest change of the state, NULL for none) of every room."""
    return await db.fetch(
        "SELECT w.room_id, (SELECT s.from_pos FROM state AS s WHERE s.room_id = w.room_id AND s.from_pos <= %s"
        " ORDER BY s.from_pos DESC LIMIT 1) FROM unnest(%s::text[]) AS w (room_id)",
        (upto, list(room_ids)),
    )


async def bumps(db: Queries, room_ids: Sequence[str], upto: int, types: Sequence[str], scanned: int) -> list[Row]:
    """(room_id, the newest live event of these types among the newest `scanned`, the oldest event): their positions."""
    return await db.fetch(
        "SELECT * FROM bumping_events(%s::text[], %s, %s::text[], %s)", (list(room_ids), upto, list(types), scanned)
    )


async def types(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """(room_id, its type, '' for none, json of its create event if the type is NULL) of every room."""
    return await db.fetch(
        "SELECT w.room_id, r.room_type, CASE WHEN r.room_type IS NULL THEN"
        " (SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = w.room_id AND s.type = 'm.room.create' AND s.state_key = '' LIMIT 1) END"
        " FROM unnest(%s::text[]) AS w (room_id) LEFT JOIN rooms AS r ON r.room_id = w.room_id",
        (list(room_ids),),
    )


async def encrypted(db: Queries, room_ids: Sequence[str], at: int) -> list[Row]:
    """(room_id, whether it is encrypted at a position) of every room.

    Each is looked up for itself (OFFSET 0): a planner that is given thousands of rooms in a list weighs each of them.
    """
    return await db.fetch(
        "SELECT w.room_id, EXISTS (SELECT FROM state AS s WHERE s.room_id = w.room_id"
        " AND s.type = 'm.room.encryption' AND s.state_key = '' AND s.from_pos <= %s AND s.to_pos > %s OFFSET 0)"
        " FROM unnest(%s::text[]) AS w (room_id)",
        (at, at, list(room_ids)),
    )


async def children(db: Queries, space_ids: Sequence[str], at: int) -> list[Row]:
    """(space, child, json) of the spaces' m.space.child events at a position."""
    return await db.fetch(
        "SELECT s.room_id, s.state_key, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = ANY(%s) AND s.type = 'm.space.child' AND s.from_pos <= %s AND s.to_pos > %s",
        (list(space_ids), at, at),
    )


async def of_types(db: Queries, keys: Sequence[tuple[str, str, int]]) -> list[Row]:
    """The columns of state rows of each (room, type) at its position."""
    room_ids, types, at = (list(column) for column in zip(*keys, strict=True))
    return await db.fetch(
        "SELECT s.room_id, s.type, s.state_key, s.event_id, s.membership, s.from_pos, s.to_pos"
        " FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS w (room_id, type, at)"
        " JOIN state AS s ON s.room_id = w.room_id AND s.type = w.type AND s.from_pos <= w.at AND s.to_pos > w.at",
        (room_ids, types, at),
    )


async def removed(db: Queries, room_ids: Sequence[str], lows: Sequence[int], highs: Sequence[int]) -> list[Row]:
    """(room_id, type, state_key) of what ended with low < to_pos <= high and is not there at high."""
    return await db.fetch(
        "SELECT DISTINCT s.room_id, s.type, s.state_key"
        " FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (room_id, low, high)"
        " JOIN state AS s ON s.room_id = w.room_id AND s.to_pos > w.low AND s.to_pos <= w.high"
        " WHERE NOT EXISTS (SELECT FROM state AS n WHERE n.room_id = s.room_id AND n.type = s.type"
        " AND n.state_key = s.state_key AND n.from_pos <= w.high AND n.to_pos > w.high)",
        (list(room_ids), list(lows), list(highs)),
    )


async def tags(db: Queries, user_id: str) -> list[Row]:
    """(room_id, content) of the user's tags."""
    return await db.fetch(
        "SELECT room_id, content FROM account_data WHERE user_id = %s AND type = 'm.tag' AND room_id <> ''", (user_id,)
    )


async def rooms_read(db: Queries, user_id: str, low: int, upto: int) -> set[str]:
    """The rooms in which the user set a receipt with low < pos <= upto."""
    rows = await db.fetch(
        "SELECT DISTINCT room_id FROM receipts WHERE user_id = %s AND pos > %s AND pos <= %s", (user_id, low, upto)
    )
    return {room_id for (room_id,) in rows}
