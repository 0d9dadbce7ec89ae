"""Finding users by name. Written by the master alone; here it is only read."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row

ROOMS_LOOKED_AT = 100
"""Rooms of a candidate of which it is asked whether they are public: bots are in thousands."""


async def candidates(db: Queries, query: str, exact: str, local_suffix: str, limit: int) -> list[Row]:
    """(user_id, display_name, avatar_url) of users whose words match, the likeliest first: whose name or localpart is
    `exact`, then this server's, then those with a name."""
    return await db.fetch(
        "SELECT user_id, display_name, avatar_url FROM user_directory WHERE words @@ %(query)s::tsquery"
        " ORDER BY (lower(display_name) = %(exact)s OR lower(split_part(substr(user_id, 2), ':', 1)) = %(exact)s)"
        " IS TRUE DESC, right(user_id, length(%(suffix)s)) = %(suffix)s DESC, display_name IS NULL, user_id"
        " LIMIT %(limit)s",
        {"query": query, "exact": exact, "suffix": local_suffix, "limit": limit},
    )


async def sharing(db: Queries, user_id: str, others: Sequence[str]) -> set[str]:
    """Those of the others who are in a room with a local user."""
    rows = await db.fetch(
        "SELECT c.user_id FROM unnest(%s::text[]) AS c (user_id) WHERE EXISTS (SELECT 1 FROM state AS s"
        " JOIN local_membership AS m ON m.user_id = %s AND m.to_pos = 9223372036854775807 AND m.room_id = s.room_id"
        " AND m.membership = 'join' WHERE s.state_key = c.user_id AND s.type = 'm.room.member'"
        " AND s.to_pos = 9223372036854775807 AND s.membership = 'join')",
        (list(others), user_id),
    )
    return {found for (found,) in rows}


async def in_public_rooms(db: Queries, user_ids: Sequence[str]) -> set[str]:
    """Those of the users who are in a room that anybody may join or read."""
    rows = await db.fetch(
        "SELECT c.user_id FROM unnest(%s::text[]) AS c (user_id) WHERE EXISTS (SELECT 1 FROM (SELECT s.room_id"
        " FROM state AS s WHERE s.state_key = c.user_id AND s.type = 'm.room.member'"
        " AND s.to_pos = 9223372036854775807 AND s.membership = 'join' LIMIT %s) AS r"
        " JOIN state AS k ON k.room_id = r.room_id AND k.type IN ('m.room.join_rules', 'm.room.history_visibility')"
        " AND k.state_key = '' AND k.to_pos = 9223372036854775807 JOIN events AS e ON e.event_id = k.event_id"
        ' WHERE e.json LIKE \'%%"join_rule":"public"%%\' OR e.json LIKE \'%%"history_visibility":"world_readable"%%\')',
        (list(user_ids), ROOMS_LOOKED_AT),
    )
    return {found for (found,) in rows}


async def remote_members(db: Queries, room_id: str, local_suffix: str, after: str, limit: int) -> list[Row]:
    """(user_id, json of the member event) of who is in a room from elsewhere, in order of their ids, above `after`."""
    return await db.fetch(
        "SELECT s.state_key, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = %s AND s.type = 'm.room.member' AND s.state_key > %s AND s.membership = 'join'"
        " AND s.to_pos = 9223372036854775807 AND right(s.state_key, %s) <> %s ORDER BY s.state_key LIMIT %s",
        (room_id, after, len(local_suffix), local_suffix, limit),
    )
