"""What is looked at when users join rooms: for many of them in one statement. Reads only.

Each place of a room's state is looked up by the primary key; see `room_state.entries` for why it is written so.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row
from hs_common.storage.room_state import NOW


async def rooms(db: Queries, room_ids: Sequence[str], keys: Sequence[tuple[str, str]], server: str) -> list[Row]:
    """(room_id, version, whether the server is in it, type, state_key, event_id, json) of each of the places in each
    room that is known here; event_id and json are None where the place is empty."""
    types, state_keys = zip(*keys, strict=True)
    return await db.fetch(
        "SELECT r.room_id, r.version, EXISTS (SELECT FROM room_servers AS i WHERE i.room_id = r.room_id"
        " AND i.server = %s AND i.to_pos = 9223372036854775807), k.type, k.state_key, s.event_id, s.json"
        " FROM rooms AS r CROSS JOIN unnest(%s::text[], %s::text[]) AS k (type, state_key)"
        " LEFT JOIN LATERAL (SELECT e.event_id, e.json FROM (SELECT event_id FROM state WHERE room_id = r.room_id"
        " AND type = k.type AND state_key = k.state_key AND to_pos + 0 > %s ORDER BY type, state_key, from_pos LIMIT 1)"
        " AS c JOIN events AS e ON e.event_id = c.event_id) AS s ON true"
        " WHERE r.room_id = ANY(%s)",
        (server, list(types), list(state_keys), NOW, list(room_ids)),
    )


async def persons(db: Queries, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """(room_id, user_id, event_id and json of the user's membership, display name, avatar) of each pair (room, user);
    what there is not is None."""
    room_ids, user_ids = zip(*pairs, strict=True)
    return await db.fetch(
        "SELECT k.room_id, k.user_id, s.event_id, s.json, d.value, a.value"
        " FROM unnest(%s::text[], %s::text[]) AS k (room_id, user_id)"
        " LEFT JOIN LATERAL (SELECT e.event_id, e.json FROM (SELECT event_id FROM state WHERE room_id = k.room_id"
        " AND type = 'm.room.member' AND state_key = k.user_id AND to_pos + 0 > %s"
        " ORDER BY type, state_key, from_pos LIMIT 1) AS c JOIN events AS e ON e.event_id = c.event_id) AS s ON true"
        " LEFT JOIN profiles AS d ON d.user_id = k.user_id AND d.field = 'displayname'"
        " LEFT JOIN profiles AS a ON a.user_id = k.user_id AND a.field = 'avatar_url'",
        (list(room_ids), list(user_ids), NOW),
    )
