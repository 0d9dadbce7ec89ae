"""What a server that speaks with others asks of its rooms. Reads, but for the rooms that are just being joined."""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage import server_views
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


async def go_on_joining(db: Queries, room_id: str, attempt: str, seconds: float) -> bool:
    """The attempt goes on, for so long from now; false if it was taken for dead, or is over."""
    return (
        await db.execute(
            "UPDATE joining_rooms SET until = now() + make_interval(secs => %s)"
            " WHERE room_id = %s AND joiner = %s::uuid AND until > now()",
            (seconds, room_id, attempt),
        )
        > 0
    )


async def end_joining(db: Queries, room_id: str, attempt: str) -> None:
    """The attempt is over, whatever came of it."""
    await db.execute("DELETE FROM joining_rooms WHERE room_id = %s AND joiner = %s::uuid", (room_id, attempt))


async def give_up_joining(db: Queries, room_id: str, attempt: str) -> None:
    """The attempt is over, but what it has stored is still to be swept away; another may begin."""
    await db.execute(
        "UPDATE joining_rooms SET until = now() WHERE room_id = %s AND joiner = %s::uuid", (room_id, attempt)
    )


async def abandoned_joins(db: Queries, limit: int) -> list[tuple[str, str]]:
    """(room, attempt) of attempts that were given up, or whose process ended, those longest ago first."""
    rows = await db.fetch(
        "SELECT room_id, joiner::text FROM joining_rooms WHERE until <= now() ORDER BY until LIMIT %s", (limit,)
    )
    return [(room_id, attempt) for room_id, attempt in rows]


async def left_behind(db: Queries, room_id: str, attempt: str, limit: int) -> int:
    """How many events without state, at most `limit`, are here of a room that is not known and that no other attempt
    than this is about to join. Invites and knocks of users here are none of them."""
    row = await db.fetch_one(
        "SELECT count(*) FROM (SELECT FROM events AS e WHERE e.room_id = %s AND e.status <> 0"
        " AND NOT EXISTS (SELECT FROM rooms AS r WHERE r.room_id = e.room_id)"
        " AND NOT EXISTS (SELECT FROM joining_rooms AS j WHERE j.room_id = e.room_id AND j.until > now()"
        " AND j.joiner <> %s::uuid)"
        " AND NOT EXISTS (SELECT FROM local_membership AS m WHERE m.room_id = e.room_id AND m.event_id = e.event_id)"
        " LIMIT %s) AS one",
        (room_id, attempt, limit),
    )
    assert row is not None, "a count has a row"
    return int(row[0])


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


async def cited_memberships(db: Queries, room_id: str, user_id: str, event_ids: Sequence[str]) -> set[str]:
    """The memberships that those of the events gave a user which were in the room's state."""
    rows = await db.fetch(
        "SELECT membership FROM state WHERE room_id = %s AND type = 'm.room.member' AND state_key = %s"
        " AND event_id = ANY(%s)",
        (room_id, user_id, list(event_ids)),
    )
    return {membership for (membership,) in rows}


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
    rows = await db.fetch("SELECT event_id FROM events WHERE event_id = ANY(%s) AND status <> 5", (list(event_ids),))
    return {event_id for (event_id,) in rows}


async def extremities(db: Queries, room_id: str) -> list[str]:
    """The newest events of a room, as far as they are known here: as `room_heads.newest_events`."""
    row = await db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", (room_id,))
    if row is not None:
        return list(row[0])
    row = await db.fetch_one(
        "SELECT t.event_id FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id"
        " WHERE t.room_id = %s AND t.order_sub = 0 AND e.status <> 4 AND e.pos >= t.order_pos"
        " ORDER BY t.order_pos DESC LIMIT 1",
        (room_id,),
    )
    return [] if row is None else [str(row[0])]


async def entered_by(db: Queries, room_id: str, server: str) -> str | None:
    """The PDU (JSON) of the live event by which a server came to be in a room that it is in."""
    row = await db.fetch_one(
        "SELECT e.json FROM room_servers AS s JOIN timeline AS t ON t.room_id = s.room_id AND t.order_pos = s.from_pos"
        " AND t.order_sub = 0 JOIN events AS e ON e.event_id = t.event_id"
        " WHERE s.room_id = %s AND s.server = %s AND s.to_pos = 9223372036854775807",
        (room_id, server),
    )
    return None if row is None else str(row[0])


async def state_before(db: Queries, room_id: str, event_id: str) -> list[str] | None:
    """The ids of the state before an event; None if that is not known."""
    place = await server_views.state_before(db, room_id, event_id)
    if place is None:
        return None
    rows = await db.fetch(
        "SELECT type, state_key, event_id FROM state WHERE room_id = %s AND to_pos > %s AND from_pos <= %s",
        (room_id, place[0], place[0]),
    )
    state: dict[tuple[str, str], str | None] = {(kind, state_key): entry for kind, state_key, entry in rows}
    if place[1] is not None:
        rows = await db.fetch("SELECT type, state_key, event_id FROM state_delta WHERE delta_id = %s", (place[1],))
        state.update(((kind, state_key), entry) for kind, state_key, entry in rows)
    return [entry for entry in state.values() if entry is not None]


async def pdus(db: Queries, event_ids: Sequence[str]) -> dict[str, str]:
    """The PDUs (JSON) of those of the events that are here, by their ids. Neither rejected (2) nor imported ones (4):
    no other server knows these."""
    rows = await db.fetch(
        "SELECT event_id, json FROM events WHERE event_id = ANY(%s) AND status NOT IN (2, 4, 5)", (list(event_ids),)
    )
    return dict(rows)


async def room_version_told(db: Queries, room_id: str, user_id: str) -> str | None:
    """The version of a room that a user is invited to or knocks on, as the create event that came with it says."""
    row = await db.fetch_one(
        "SELECT (SELECT coalesce(entry->'content'->>'room_version', '1') FROM json_array_elements(stripped_state::json)"
        " AS entry WHERE entry->>'type' = 'm.room.create' LIMIT 1) FROM local_membership"
        " WHERE user_id = %s AND room_id = %s AND to_pos = 9223372036854775807",
        (user_id, room_id),
    )
    return None if row is None or row[0] is None else str(row[0])


async def senders_told(db: Queries, room_id: str, user_id: str, limit: int) -> list[str]:
    """Who sent what was shown of a room that a user is invited to or knocks on, its creator first."""
    rows = await db.fetch(
        "SELECT entry->>'sender' FROM local_membership, json_array_elements(stripped_state::json) AS entry"
        " WHERE user_id = %s AND room_id = %s AND to_pos = 9223372036854775807"
        " ORDER BY entry->>'type' IS DISTINCT FROM 'm.room.create' LIMIT %s",
        (user_id, room_id, limit),
    )
    return [str(sender) for (sender,) in rows]


async def servers_ever(db: Queries, room_id: str, limit: int) -> list[str]:
    """Servers that are or were in the room, those that are still, and longest, first."""
    rows = await db.fetch(
        "SELECT server FROM room_servers WHERE room_id = %s GROUP BY server ORDER BY max(to_pos) DESC, min(from_pos),"
        " server LIMIT %s",
        (room_id, limit),
    )
    return [server for (server,) in rows]
