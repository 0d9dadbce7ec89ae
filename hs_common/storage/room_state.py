"""The state of a room at a position of the log, whole or by key. Reads only.

The state at P is what began by P and had not ended then.
"""

from collections.abc import Sequence
from typing import Final

from hs_common.storage.queries import Queries, Row

NOW: Final = 2**63 - 2
"""A position above all that will ever be given out, and below the `to_pos` of what still holds."""


async def all_entries(db: Queries, room_id: str, at: int) -> list[Row]:
    """(type, state_key, event_id, json) of every entry."""
    return await db.fetch(
        "SELECT s.type, s.state_key, s.event_id, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = %s AND s.to_pos > %s AND s.from_pos <= %s ORDER BY s.from_pos",
        (room_id, at, at),
    )


async def first_entries(db: Queries, room_id: str, at: int, limit: int) -> list[Row]:
    """The same of the first `limit` entries."""
    return await db.fetch(
        "SELECT s.type, s.state_key, s.event_id, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = %s AND s.to_pos > %s AND s.from_pos <= %s LIMIT %s",
        (room_id, at, at, limit),
    )


async def without_members(db: Queries, room_id: str, at: int) -> list[Row]:
    """The same without m.room.member: of large rooms next to nothing."""
    halves = " UNION ALL ".join(
        "SELECT s.type, s.state_key, s.event_id, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        f" WHERE s.room_id = %s AND s.type {side} 'm.room.member' AND s.to_pos > %s AND s.from_pos <= %s"
        for side in ("<", ">")
    )
    return await db.fetch(halves, (room_id, at, at) * 2)


async def members_page(
    db: Queries, room_id: str, at: int, wanted: str | None, unwanted: str | None, *, after: str, limit: int
) -> list[Row]:
    """(type, state_key, event_id, json, membership) of the next m.room.member in the order of user ids, above `after`:
    those with the wanted membership and those without the unwanted one; of all if neither is given.

    The positions are hidden from the planner (`+ 0`): by an index over them it would sort the whole room for each page,
    while in the primary key's order it stops after the page.
    """
    return await db.fetch(
        "SELECT s.type, s.state_key, s.event_id, e.json, s.membership FROM (SELECT * FROM state"
        " WHERE room_id = %(room)s AND type = 'm.room.member' AND state_key > %(after)s"
        " AND to_pos + 0 > %(at)s AND from_pos + 0 <= %(at)s"
        " AND (%(wanted)s::text IS NULL AND %(unwanted)s::text IS NULL OR membership = %(wanted)s"
        " OR %(unwanted)s IS NOT NULL AND membership IS DISTINCT FROM %(unwanted)s)"
        " ORDER BY state_key LIMIT %(limit)s) AS s"
        " JOIN events AS e ON e.event_id = s.event_id ORDER BY s.state_key",
        {"room": room_id, "after": after, "at": at, "wanted": wanted, "unwanted": unwanted, "limit": limit},
    )


async def entries(db: Queries, room_id: str, keys: Sequence[tuple[str, str]], at: int) -> list[Row]:
    """(type, state_key, event_id, json) of those of the places (type, state_key) that are filled.

    The statement is written so that each place is looked up by the primary key. Otherwise a planner whose statistics
    are of a time when the room was small reads all that holds in it, of which there may be 100,000 entries.
    """
    if not keys:
        return []
    types, state_keys = zip(*keys, strict=True)
    return await db.fetch(
        "SELECT k.type, k.state_key, s.event_id, e.json FROM unnest(%s::text[], %s::text[]) AS k (type, state_key)"
        " CROSS JOIN LATERAL (SELECT event_id FROM state WHERE room_id = %s AND type = k.type"
        " AND state_key = k.state_key AND to_pos + 0 > %s AND from_pos + 0 <= %s"
        " ORDER BY type, state_key, from_pos LIMIT 1) AS s"
        " JOIN events AS e ON e.event_id = s.event_id",
        (list(types), list(state_keys), room_id, at, at),
    )


async def members_of_rooms(db: Queries, wanted: Sequence[tuple[str, str, int]]) -> list[Row]:
    """(room_id, user_id, position, json): the member events of (room_id, user_id) at positions, where there are. The
    statement is a function, whose plan a session keeps."""
    if not wanted:
        return []
    room_ids, user_ids, positions = (list(column) for column in zip(*wanted, strict=True))
    return await db.fetch(
        "SELECT room, member, at, event FROM members_at(%s::text[], %s::text[], %s::bigint[])",
        (room_ids, user_ids, positions),
    )


async def room_version(db: Queries, room_id: str) -> str | None:
    """None if the room is not known here."""
    row = await db.fetch_one("SELECT version FROM rooms WHERE room_id = %s", (room_id,))
    return None if row is None else str(row[0])


async def room_versions(db: Queries, room_ids: Sequence[str]) -> dict[str, str]:
    """The versions of those of the rooms that are known here."""
    return dict(await db.fetch("SELECT room_id, version FROM rooms WHERE room_id = ANY(%s)", (list(room_ids),)))


async def is_known(db: Queries, room_id: str) -> bool:
    """Whether this server has the room."""
    return await room_version(db, room_id) is not None


async def server_is_in_room(db: Queries, room_id: str, server: str) -> bool:
    """Whether a server has at least one joined user in the room."""
    row = await db.fetch_one(
        "SELECT 1 FROM room_servers WHERE room_id = %s AND server = %s AND to_pos = 9223372036854775807",
        (room_id, server),
    )
    return row is not None


async def servers(db: Queries, room_id: str, limit: int) -> list[str]:
    """Servers with joined users in the room, those that are in it longest first."""
    rows = await db.fetch(
        "SELECT server FROM room_servers WHERE room_id = %s AND to_pos = 9223372036854775807"
        " ORDER BY from_pos, server LIMIT %s",
        (room_id, limit),
    )
    return [server for (server,) in rows]


async def rooms_of_server(db: Queries, server: str, room_ids: Sequence[str]) -> set[str]:
    """Those of the rooms in which a server has joined users."""
    rows = await db.fetch(
        "SELECT room_id FROM room_servers WHERE server = %s AND room_id = ANY(%s) AND to_pos = 9223372036854775807",
        (server, list(room_ids)),
    )
    return {room_id for (room_id,) in rows}
