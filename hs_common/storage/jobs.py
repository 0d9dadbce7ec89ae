"""Jobs, and what they go through: reads. Written by the master through its log."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def next_jobs(db: Queries, limit: int) -> list[Row]:
    """Rows (job_id, user_id, body, progress), oldest first."""
    return await db.fetch("SELECT job_id, user_id, body, progress FROM jobs ORDER BY job_id LIMIT %s", [limit])


async def rooms_of_user(db: Queries, user_id: str, memberships: Sequence[str], after: str, limit: int) -> list[str]:
    """Rooms where the local user has one of the memberships, in order of their ids, above `after`."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807 "
        "AND membership = ANY(%s) AND room_id > %s ORDER BY room_id LIMIT %s",
        [user_id, list(memberships), after, limit],
    )
    return [room_id for (room_id,) in rows]


async def guests_of_room(db: Queries, room_id: str, after: str, limit: int) -> list[str]:
    """Guests of this server who are joined to the room, in order of their ids, above `after`."""
    rows = await db.fetch(
        "SELECT l.user_id FROM local_membership AS l JOIN users AS u ON u.user_id = l.user_id "
        "WHERE l.room_id = %s AND l.to_pos = 9223372036854775807 AND l.membership = 'join' AND u.is_guest "
        "AND l.user_id > %s ORDER BY l.user_id LIMIT %s",
        [room_id, after, limit],
    )
    return [user_id for (user_id,) in rows]


async def living_ghosts(db: Queries, service_id: str, limit: int) -> list[str]:
    """Accounts that an application service has made and that are not deactivated."""
    rows = await db.fetch(
        "SELECT user_id FROM users WHERE appservice_id = %s AND NOT deactivated LIMIT %s", [service_id, limit]
    )
    return [user_id for (user_id,) in rows]


async def carried_over(db: Queries, room_id: str, after: tuple[str, str], limit: int) -> list[Row]:
    """Rows (type, state_key, json) of a room's bans and children of a space, in order, above `after`."""
    return await db.fetch(
        "SELECT s.type, s.state_key, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id "
        "WHERE s.room_id = %s AND s.type IN ('m.room.member', 'm.space.child') AND (s.type, s.state_key) > (%s, %s) "
        "AND s.to_pos = 9223372036854775807 AND (s.membership = 'ban' OR s.type = 'm.space.child') "
        "ORDER BY s.type, s.state_key LIMIT %s",
        [room_id, *after, limit],
    )
