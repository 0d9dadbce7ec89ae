"""Deleted and blocked rooms, and what is left of a room while it is removed."""

from collections.abc import Sequence
from typing import Final

from hs_common.storage.queries import Queries, Row

CONDITIONS: Final = {
    "events": " AND status <> 0",
    "local_membership": " AND NOT (forgotten AND to_pos = 9223372036854775807)",
}
"""What of a table is looked for, where it is not all of the room."""


async def local_members(db: Queries, room_id: str, after: str, limit: int) -> list[str]:
    """This server's users who are in a room, invited or knocking, in order of their ids, above `after`."""
    rows = await db.fetch(
        "SELECT user_id FROM local_membership WHERE room_id = %s AND to_pos = 9223372036854775807"
        " AND membership IN ('join', 'invite', 'knock') AND user_id > %s ORDER BY user_id LIMIT %s",
        (room_id, after, limit),
    )
    return [user_id for (user_id,) in rows]


async def has_rows(db: Queries, table: str, room_id: str) -> bool:
    """Whether anything of a room is left in a table."""
    condition = CONDITIONS.get(table, "")
    row = await db.fetch_one(f"SELECT 1 FROM {table} WHERE room_id = %s{condition} LIMIT 1", (room_id,))
    return row is not None


async def now_ms(db: Queries) -> int:
    """The time of day, as all masters see it."""
    row = await db.fetch_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    assert row is not None, "one row"
    return int(row[0])


async def deletions(db: Queries, *, room_id: str | None = None, delete_id: str | None = None) -> list[Row]:
    """(delete_id, room_id, status, told) of a room's deletions, or of the one."""
    return await db.fetch(
        "SELECT delete_id, room_id, status, told FROM room_deletions"
        " WHERE (%(room)s::text IS NULL OR room_id = %(room)s) AND (%(delete)s::text IS NULL OR delete_id = %(delete)s)"
        " ORDER BY started_ts",
        {"room": room_id, "delete": delete_id},
    )


async def blocked_by(db: Queries, room_id: str) -> str | None:
    """Who blocked a room; None if it is not blocked."""
    row = await db.fetch_one("SELECT user_id FROM blocked_rooms WHERE room_id = %s", (room_id,))
    return None if row is None else str(row[0])


async def block(db: Queries, room_id: str, user_id: str, blocked_ts: int) -> None:
    """Keeps this server's users out of a room from now on."""
    await db.execute(
        "INSERT INTO blocked_rooms (room_id, user_id, blocked_ts) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (room_id, user_id, blocked_ts),
    )


async def unblock(db: Queries, room_id: str) -> None:
    """Lets them in again."""
    await db.execute("DELETE FROM blocked_rooms WHERE room_id = %s", (room_id,))


async def closed_rooms(db: Queries, limit: int) -> list[str]:
    """Rooms that this server's users cannot go to: blocked, or being removed."""
    rows = await db.fetch(
        "SELECT room_id FROM blocked_rooms UNION SELECT room_id FROM room_deletions"
        " WHERE status IN ('shutting_down', 'purging') LIMIT %s",
        (limit,),
    )
    return [room_id for (room_id,) in rows]


_ORDERS: Final = {
    "name": "name",
    "canonical_alias": "canonical_alias",
    "joined_members": "joined_members",
    "joined_local_members": "joined_local_members",
    "version": "version",
    "creator": "creator",
    "encryption": "encryption",
    "federatable": "federatable",
    "public": "is_public",
    "join_rules": "join_rules",
    "guest_access": "guest_access",
    "history_visibility": "history_visibility",
    "state_events": "state_events",
}
ORDERS: Final[Sequence[str]] = tuple(_ORDERS)
"""What lists of rooms can be ordered by."""

_CONTENT: Final = (
    "(SELECT e.json::jsonb -> 'content' ->> '{key}' FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
    " WHERE s.room_id = r.room_id AND s.type = '{type}' AND s.state_key = ''"
    " AND s.to_pos = 9223372036854775807) AS {name}"
)
_SHOWN: Final = (
    ("m.room.name", "name", "name"),
    ("m.room.canonical_alias", "alias", "canonical_alias"),
    ("m.room.encryption", "algorithm", "encryption"),
    ("m.room.join_rules", "join_rule", "join_rules"),
    ("m.room.guest_access", "guest_access", "guest_access"),
    ("m.room.history_visibility", "history_visibility", "history_visibility"),
    ("m.room.create", "type", "room_type"),
    ("m.room.create", "m.federate", "federatable"),
    ("m.room.avatar", "url", "avatar"),
    ("m.room.topic", "topic", "topic"),
)
COLUMNS: Final = (
    *("room_id", "version", "creator", "is_public", "joined_members", "joined_local_members", "state_events"),
    *(name for _, _, name in _SHOWN),
)
_DETAILS: Final = (
    "SELECT r.room_id, r.version, r.creator, r.is_public, (SELECT count(*) FROM state AS s WHERE s.room_id = r.room_id"
    " AND s.type = 'm.room.member' AND s.membership = 'join' AND s.to_pos = 9223372036854775807) AS joined_members,"
    " (SELECT count(*) FROM local_membership AS m WHERE m.room_id = r.room_id AND m.to_pos = 9223372036854775807"
    " AND m.membership = 'join') AS joined_local_members, (SELECT count(*) FROM state AS s WHERE s.room_id = r.room_id"
    " AND s.to_pos = 9223372036854775807) AS state_events, "
    + ", ".join(_CONTENT.format(type=event_type, key=key, name=name) for event_type, key, name in _SHOWN)
    + " FROM rooms AS r"
)


async def rooms(
    db: Queries,
    *,
    order_by: str,
    descending: bool,
    term: str | None,
    public: bool | None,
    empty: bool | None,
    limit: int,
    offset: int,
) -> list[Row]:
    """Rows as `COLUMNS`, and how many rooms there are in all, of rooms whose name, alias or id has the term in it."""
    direction = "DESC NULLS LAST" if descending else "ASC NULLS LAST"
    return await db.fetch(
        f"SELECT {', '.join(COLUMNS)}, count(*) OVER () FROM ({_DETAILS}) AS d WHERE (%(term)s::text IS NULL"
        " OR strpos(lower(name), lower(%(term)s)) > 0 OR strpos(lower(canonical_alias), lower(%(term)s)) > 0"
        " OR room_id = %(term)s) AND (%(public)s::boolean IS NULL OR is_public = %(public)s)"
        " AND (%(empty)s::boolean IS NULL OR (joined_members = 0) = %(empty)s)"
        f" ORDER BY {_ORDERS[order_by]} {direction}, room_id LIMIT %(limit)s OFFSET %(offset)s",
        {"term": term, "public": public, "empty": empty, "limit": limit, "offset": offset},
    )


async def room(db: Queries, room_id: str) -> Row | None:
    """The row of one room, as `COLUMNS`."""
    columns = ", ".join(COLUMNS)
    return await db.fetch_one(f"SELECT {columns} FROM ({_DETAILS} WHERE r.room_id = %s) AS d", (room_id,))


async def joined(db: Queries, room_id: str) -> list[str]:
    """Who is in a room."""
    rows = await db.fetch(
        "SELECT state_key FROM state WHERE room_id = %s AND type = 'm.room.member' AND membership = 'join'"
        " AND to_pos = 9223372036854775807 ORDER BY state_key",
        (room_id,),
    )
    return [user_id for (user_id,) in rows]
