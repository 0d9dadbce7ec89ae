"""What a server that speaks with others asks of its rooms. Reads, but for the rooms that are just being joined."""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries


class RoomFacts(NamedTuple):
    """`joined`: users of this server are in the room. `joining`: the room's version if one is about to be,
    through another server. `acl`: JSON of the m.room.server_acl event, None without one."""

    version: str | None
    joined: bool
    joining: str | None
    acl: str | None


async def room_facts(db: Queries, server_name: str, room_ids: Sequence[str]) -> dict[str, RoomFacts]:
    """The facts of rooms, known or not."""
    rows = await db.fetch(
        "SELECT k.room_id, r.version,"
        " EXISTS (SELECT FROM room_servers AS s WHERE s.room_id = k.room_id AND s.server = %s"
        " AND s.to_pos = 9223372036854775807),"
        " (SELECT version FROM joining_rooms AS j WHERE j.room_id = k.room_id AND j.until > now()),"
        " (SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id WHERE s.room_id = k.room_id"
        " AND s.type = 'm.room.server_acl' AND s.state_key = '' AND s.to_pos = 9223372036854775807)"
        " FROM unnest(%s::text[]) AS k (room_id) LEFT JOIN rooms AS r ON r.room_id = k.room_id",
        (server_name, list(room_ids)),
    )
    return {room_id: RoomFacts(*facts) for room_id, *facts in rows}


async def begin_joining(db: Queries, room_id: str, version: str, attempt: str, seconds: float) -> bool:
    """Says that the room is being joined, for so long; false if another attempt goes on."""
    return (
        await db.execute(
            "INSERT INTO joining_rooms AS j (room_id, version, joiner, until)"
            " VALUES (%s, %s, %s::uuid, now() + make_interval(secs => %s))"
            " ON CONFLICT (room_id) DO UPDATE"
            " SET version = excluded.version, joiner = excluded.joiner, until = excluded.until WHERE j.until <= now()",
            (room_id, version, attempt, seconds),
        )
        > 0
    )


async def end_joining(db: Queries, room_id: str, attempt: str) -> None:
    """The attempt is over, whatever came of it."""
    await db.execute("DELETE FROM joining_rooms WHERE room_id = %s AND joiner = %s::uuid", (room_id, attempt))


async def is_being_joined(db: Queries, room_id: str) -> bool:
    """Whether an attempt to join the room goes on."""
    row = await db.fetch_one("SELECT 1 FROM joining_rooms WHERE room_id = %s AND until > now()", (room_id,))
    return row is not None


async def memberships(db: Queries, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The memberships now, by (room, user), of those who have one."""
    if not pairs:
        return {}
    rooms, users = zip(*pairs, strict=True)
    rows = await db.fetch(
        "SELECT s.room_id, s.state_key, s.membership FROM unnest(%s::text[], %s::text[]) AS k (room_id, user_id)"
        " JOIN state AS s ON s.room_id = k.room_id AND s.type = 'm.room.member' AND s.state_key = k.user_id"
        " AND s.to_pos = 9223372036854775807",
        (list(rooms), list(users)),
    )
    return {(room_id, user_id): membership for room_id, user_id, membership in rows}


async def shares_room_with_us(db: Queries, user_ids: Sequence[str], server_name: str) -> set[str]:
    """Those of the users who are in a room with users of this server."""
    rows = await db.fetch(
        "SELECT u.user_id FROM unnest(%s::text[]) AS u (user_id) WHERE EXISTS ("
        " SELECT FROM state AS s JOIN room_servers AS r ON r.room_id = s.room_id AND r.server = %s"
        " AND r.to_pos = 9223372036854775807"
        " WHERE s.state_key = u.user_id AND s.type = 'm.room.member' AND s.membership = 'join'"
        " AND s.to_pos = 9223372036854775807)",
        (list(user_ids), server_name),
    )
    return {user_id for (user_id,) in rows}


async def out_of_band(db: Queries, room_id: str, user_id: str) -> tuple[str, str, str] | None:
    """(membership, event id, sender) of a user's invite to, or knock on, a room that this server is not in."""
    row = await db.fetch_one(
        "SELECT membership, event_id, sender FROM local_membership WHERE user_id = %s AND room_id = %s"
        " AND to_pos = 9223372036854775807 AND out_of_band AND membership IN ('invite', 'knock')",
        (user_id, room_id),
    )
    return None if row is None else (str(row[0]), str(row[1]), str(row[2]))


async def known_events(db: Queries, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that are here, in a timeline or without state."""
    rows = await db.fetch("SELECT event_id FROM events WHERE event_id = ANY(%s)", (list(event_ids),))
    return {event_id for (event_id,) in rows}


async def extremities(db: Queries, room_id: str) -> list[str]:
    """The newest events of a room, as far as they are known here."""
    row = await db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", (room_id,))
    if row is not None:
        return list(row[0])
    row = await db.fetch_one(
        "SELECT event_id FROM timeline WHERE room_id = %s AND order_sub = 0 ORDER BY order_pos DESC LIMIT 1", (room_id,)
    )
    return [] if row is None else [str(row[0])]
