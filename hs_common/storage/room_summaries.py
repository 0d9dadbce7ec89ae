"""What decides who may hear of a room, and the children of a space. Reads only."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def standings(db: Queries, room_ids: Sequence[str], user_id: str, server_name: str) -> list[Row]:
    """(room_id, version, the user's membership, whether the server is in the room, stripped state) of every room that
    was asked for: the version is NULL for rooms that are not known here, the membership if he never had one."""
    return await db.fetch(
        "SELECT w.room_id, r.version, m.membership, EXISTS (SELECT 1 FROM room_servers AS s"
        " WHERE s.room_id = w.room_id AND s.server = %s AND s.to_pos = 9223372036854775807), m.stripped_state"
        " FROM unnest(%s::text[]) AS w (room_id) LEFT JOIN rooms AS r ON r.room_id = w.room_id"
        " LEFT JOIN local_membership AS m ON m.user_id = %s AND m.to_pos = 9223372036854775807"
        " AND m.room_id = w.room_id",
        (server_name, list(room_ids), user_id),
    )


async def children(db: Queries, room_id: str, limit: int) -> list[Row]:
    """(state_key, json) of a space's m.space.child events."""
    return await db.fetch(
        "SELECT s.state_key, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = %s AND s.type = 'm.space.child' AND s.to_pos = 9223372036854775807"
        " ORDER BY s.state_key LIMIT %s",
        (room_id, limit),
    )
