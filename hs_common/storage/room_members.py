"""This server's users in rooms. Written by the master alone; here they are only read."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries


async def joined_rooms(db: Queries, user_id: str) -> list[str]:
    """The rooms that a user is in."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership"
        " WHERE user_id = %s AND to_pos = 9223372036854775807 AND membership = 'join' ORDER BY from_pos",
        (user_id,),
    )
    return [room_id for (room_id,) in rows]


async def is_joined_to_any(db: Queries, user_id: str, room_ids: Sequence[str]) -> bool:
    """Whether a user is in one of the rooms."""
    row = await db.fetch_one(
        "SELECT 1 FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807"
        " AND room_id = ANY(%s) AND membership = 'join' LIMIT 1",
        (user_id, list(room_ids)),
    )
    return row is not None


async def joined_local_users(
    db: Queries, room_id: str, among: Sequence[str] | None, without: Sequence[str], limit: int
) -> list[str]:
    """Users of this server in a room (of some, if given; never `without`), those that are in it longest first."""
    rows = await db.fetch(
        "SELECT user_id FROM local_membership WHERE room_id = %s AND to_pos = 9223372036854775807"
        " AND membership = 'join' AND (%s::text[] IS NULL OR user_id = ANY(%s)) AND user_id <> ALL(%s)"
        " ORDER BY from_pos, user_id LIMIT %s",
        (room_id, None if among is None else list(among), list(among or ()), list(without), limit),
    )
    return [user_id for (user_id,) in rows]


async def membership(db: Queries, user_id: str, room_id: str) -> str | None:
    """A user's membership now; None if he never had one."""
    row = await db.fetch_one(
        "SELECT membership FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807 AND room_id = %s",
        (user_id, room_id),
    )
    return None if row is None else str(row[0])


async def blocking_invites(db: Queries, user_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(user_id, content of m.invite_permission_config) of those users who have one."""
    rows = await db.fetch(
        "SELECT user_id, content FROM account_data"
        " WHERE user_id = ANY(%s) AND room_id = '' AND type = 'm.invite_permission_config'",
        (list(user_ids),),
    )
    return [(user_id, content) for user_id, content in rows]


async def profiles(db: Queries, user_ids: Sequence[str]) -> list[tuple[str, str, str]]:
    """(user_id, field, JSON value) of the display names and avatars of users."""
    rows = await db.fetch(
        "SELECT user_id, field, value FROM profiles WHERE user_id = ANY(%s) AND field IN ('displayname', 'avatar_url')",
        (list(user_ids),),
    )
    return [(user_id, field, value) for user_id, field, value in rows]


async def joined_among(db: Queries, user_id: str, room_ids: Sequence[str]) -> set[str]:
    """Those of the rooms that a user is in."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807"
        " AND room_id = ANY(%s) AND membership = 'join'",
        (user_id, list(room_ids)),
    )
    return {room_id for (room_id,) in rows}


async def mutual_rooms(db: Queries, user_id: str, other_id: str, after: str, limit: int) -> list[str]:
    """Rooms that a local user and anybody else are both in, in the order of their ids, above `after`."""
    rows = await db.fetch(
        "SELECT s.room_id FROM state AS s JOIN local_membership AS m ON m.user_id = %s"
        " AND m.to_pos = 9223372036854775807 AND m.room_id = s.room_id AND m.membership = 'join'"
        " WHERE s.state_key = %s AND s.type = 'm.room.member' AND s.to_pos = 9223372036854775807"
        " AND s.membership = 'join' AND s.room_id > %s ORDER BY s.room_id LIMIT %s",
        (user_id, other_id, after, limit),
    )
    return [room_id for (room_id,) in rows]


async def count_mutual_rooms(db: Queries, user_id: str, other_id: str) -> int:
    """How many these are."""
    row = await db.fetch_one(
        "SELECT count(*) FROM state AS s JOIN local_membership AS m ON m.user_id = %s"
        " AND m.to_pos = 9223372036854775807 AND m.room_id = s.room_id AND m.membership = 'join'"
        " WHERE s.state_key = %s AND s.type = 'm.room.member' AND s.to_pos = 9223372036854775807"
        " AND s.membership = 'join'",
        (user_id, other_id),
    )
    assert row is not None, "a count is one row"
    return int(row[0])
