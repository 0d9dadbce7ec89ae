"""Aliases and published rooms. Written by the master alone; here they are only read."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def alias(db: Queries, room_alias: str) -> Row | None:
    """(room_id, creator), or None if there is no such alias."""
    return await db.fetch_one("SELECT room_id, creator FROM aliases WHERE alias = %s", (room_alias,))


async def aliases_among(db: Queries, room_aliases: Sequence[str]) -> dict[str, str]:
    """Room ids by alias, of those that exist."""
    return dict(await db.fetch("SELECT alias, room_id FROM aliases WHERE alias = ANY(%s)", (list(room_aliases),)))


async def room_aliases(db: Queries, room_id: str) -> list[str]:
    """This server's aliases of a room."""
    rows = await db.fetch("SELECT alias FROM aliases WHERE room_id = %s ORDER BY alias", (room_id,))
    return [room_alias for (room_alias,) in rows]


async def is_published(db: Queries, room_id: str) -> bool | None:
    """Whether the room is in the directory; None if it is not known here."""
    row = await db.fetch_one("SELECT is_public FROM rooms WHERE room_id = %s", (room_id,))
    return None if row is None else bool(row[0])


async def published_rooms(db: Queries, limit: int) -> list[str]:
    """The rooms in the directory, by their ids."""
    rows = await db.fetch("SELECT room_id FROM rooms WHERE is_public ORDER BY room_id LIMIT %s", (limit,))
    return [room_id for (room_id,) in rows]


async def rooms_with_members(db: Queries, room_ids: Sequence[str], limit: int) -> list[Row]:
    """(room_id, joined members) of those of the rooms that are known here, the largest first."""
    return await db.fetch(
        "SELECT r.room_id, (SELECT count(*) FROM state AS s WHERE s.room_id = r.room_id AND s.type = 'm.room.member'"
        " AND s.membership = 'join' AND s.to_pos = 9223372036854775807) AS joined"
        " FROM rooms AS r WHERE r.room_id = ANY(%s) ORDER BY joined DESC, r.room_id LIMIT %s",
        (list(room_ids), limit),
    )


async def described(db: Queries, room_ids: Sequence[str], types: Sequence[str]) -> list[Row]:
    """(room_id, type, json) of the rooms' state of some types with an empty state key."""
    return await db.fetch(
        "SELECT s.room_id, s.type, e.json FROM unnest(%s::text[]) AS w (room_id)"
        " CROSS JOIN unnest(%s::text[]) AS k (type)"
        " JOIN state AS s ON s.room_id = w.room_id AND s.type = k.type AND s.state_key = ''"
        " AND s.to_pos = 9223372036854775807 JOIN events AS e ON e.event_id = s.event_id",
        (list(room_ids), list(types)),
    )
