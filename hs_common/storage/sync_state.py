"""The history of rooms' states as /sync reads it, many rooms in one statement.

A row (room_id, type, state_key, event_id, membership, from_pos, to_pos) says what the resolved state held from from_pos
on and before to_pos. Reads only.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row

_COLUMNS = "s.room_id, s.type, s.state_key, s.event_id, s.membership, s.from_pos, s.to_pos"


async def changes(db: Queries, room_ids: Sequence[str], lows: Sequence[int], highs: Sequence[int]) -> list[Row]:
    """Rows that begin with low < from_pos <= high."""
    return await db.fetch(
        f"SELECT {_COLUMNS} FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (room_id, low, high)"
        " JOIN state AS s ON s.room_id = w.room_id AND s.from_pos > w.low AND s.from_pos <= w.high",
        (list(room_ids), list(lows), list(highs)),
    )


async def whole(db: Queries, room_ids: Sequence[str], starts: Sequence[int], highs: Sequence[int]) -> list[Row]:
    """Rows that hold at start or begin after it, up to high."""
    return await db.fetch(
        f"SELECT {_COLUMNS} FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (room_id, start, high)"
        " JOIN state AS s ON s.room_id = w.room_id AND s.to_pos > w.start AND s.from_pos <= w.high",
        (list(room_ids), list(starts), list(highs)),
    )


async def without_members(
    db: Queries, room_ids: Sequence[str], starts: Sequence[int], highs: Sequence[int]
) -> list[Row]:
    """The same without m.room.member, whose rows are not even looked at."""
    halves = " UNION ALL ".join(
        f"SELECT {_COLUMNS} FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (room_id, start, high)"
        f" JOIN state AS s ON s.room_id = w.room_id AND s.type {side} 'm.room.member'"
        " AND s.to_pos > w.start AND s.from_pos <= w.high"
        for side in ("<", ">")
    )
    arguments = (list(room_ids), list(starts), list(highs))
    return await db.fetch(halves, arguments * 2)


async def entries(db: Queries, keys: Sequence[tuple[str, str, str, int, int]]) -> list[Row]:
    """Rows of (room_id, type, state_key) that hold at start or begin after it up to high, for each (…, start, high).

    The statement is a function, whose plan a session keeps; each key is looked up by the primary key.
    """
    if not keys:
        return []
    room_ids, types, state_keys, starts, highs = (list(column) for column in zip(*keys, strict=True))
    return await db.fetch(
        "SELECT * FROM state_entries(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])",
        (room_ids, types, state_keys, starts, highs),
    )


async def visibilities(db: Queries, room_ids: Sequence[str], upto: int) -> list[Row]:
    """(room_id, from_pos, to_pos, json) of each room's m.room.history_visibility by rising position."""
    return await db.fetch(
        "SELECT s.room_id, s.from_pos, s.to_pos, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = ANY(%s) AND s.type = 'm.room.history_visibility' AND s.state_key = '' AND s.from_pos <= %s"
        " ORDER BY s.from_pos",
        (list(room_ids), upto),
    )


async def member_counts(db: Queries, room_ids: Sequence[str], at: Sequence[int]) -> list[Row]:
    """(room_id, joined, invited) of each room at its position."""
    return await db.fetch(
        "SELECT w.room_id, count(*) FILTER (WHERE s.membership = 'join'),"
        " count(*) FILTER (WHERE s.membership = 'invite')"
        " FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, pos)"
        " LEFT JOIN state AS s ON s.room_id = w.room_id AND s.type = 'm.room.member'"
        " AND s.membership IN ('join', 'invite') AND s.from_pos <= w.pos AND s.to_pos > w.pos GROUP BY w.room_id",
        (list(room_ids), list(at)),
    )


async def oldest_members(
    db: Queries, room_ids: Sequence[str], at: Sequence[int], memberships: Sequence[str], limit: int
) -> list[Row]:
    """(room_id, user_id) of the members whose entries hold longest, of each room at its position."""
    return await db.fetch(
        "SELECT w.room_id, m.state_key FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, pos)"
        " CROSS JOIN LATERAL (SELECT s.state_key, s.from_pos FROM state AS s WHERE s.room_id = w.room_id"
        " AND s.type = 'm.room.member' AND s.membership = ANY(%s) AND s.from_pos <= w.pos AND s.to_pos > w.pos"
        " ORDER BY s.from_pos, s.state_key LIMIT %s) AS m ORDER BY m.from_pos, m.state_key",
        (list(room_ids), list(at), list(memberships), limit),
    )
