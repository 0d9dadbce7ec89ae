"""What /sync asks about a user's rooms and their timelines, many rooms in one statement.

Rules: every answer is at one position: rows that begin after it are left out. Live events have order_sub 0. Reads only;
must not know what a client asked for.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def memberships(db: Queries, user_id: str, since: int, upto: int) -> list[Row]:
    """The user's memberships that hold after `since` and began by `upto`, each room's by rising position.

    (room_id, membership, event_id, sender, stripped_state, out_of_band, forgotten, from_pos, to_pos). `since` -1: all.
    """
    return await db.fetch(
        "SELECT room_id, membership, event_id, sender, stripped_state, out_of_band, forgotten, from_pos, to_pos"
        " FROM local_membership WHERE user_id = %s AND to_pos > %s AND from_pos <= %s ORDER BY from_pos",
        (user_id, since, upto),
    )


async def all_memberships(db: Queries, user_id: str, room_ids: Sequence[str], upto: int) -> list[Row]:
    """The same for some rooms, from the beginning."""
    return await db.fetch(
        "SELECT room_id, membership, event_id, sender, stripped_state, out_of_band, forgotten, from_pos, to_pos"
        " FROM local_membership WHERE user_id = %s AND room_id = ANY(%s) AND from_pos <= %s ORDER BY from_pos",
        (user_id, list(room_ids), upto),
    )


async def joined_rooms(db: Queries, user_id: str, at: int) -> list[str]:
    """The rooms that the user is joined to at a position."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership"
        " WHERE user_id = %s AND membership = 'join' AND from_pos <= %s AND to_pos > %s",
        (user_id, at, at),
    )
    return [room_id for (room_id,) in rows]


async def gaps(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """(room_id, before_pos): events are missing just before the live event at before_pos."""
    return await db.fetch("SELECT room_id, before_pos FROM room_gap WHERE room_id = ANY(%s)", (list(room_ids),))


async def timelines(
    db: Queries, room_ids: Sequence[str], lows: Sequence[int], highs: Sequence[int], limit: int
) -> list[Row]:
    """Of each room the newest `limit` events with low < order_pos <= high, newest first.

    (room_id, order_pos, order_sub, event_id, sender, type, state_key, origin_server_ts, thread_root, state_pos,
    delta_id, device_id, txn_id, replaces_state, redacted_by, json). The statement is a function, whose plan a session
    keeps.
    """
    return await db.fetch(
        "SELECT * FROM newest_of_timelines(%s::text[], %s::bigint[], %s::bigint[], %s)",
        (list(room_ids), list(lows), list(highs), limit),
    )


async def events(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """(event_id, room_id, replaces_state, redacted_by, json)."""
    return await db.fetch(
        "SELECT event_id, room_id, replaces_state, redacted_by, json FROM events WHERE event_id = ANY(%s)",
        (list(event_ids),),
    )


async def rooms_joined_by(db: Queries, user_id: str) -> list[str]:
    """The rooms in which a user, local or not, is joined now. Those of a local one stand side by side."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership"
        " WHERE user_id = %(user)s AND to_pos = 9223372036854775807 AND membership = 'join'"
        " UNION ALL SELECT room_id FROM state WHERE state_key = %(user)s AND type = 'm.room.member'"
        " AND to_pos = 9223372036854775807 AND membership = 'join'"
        " AND NOT EXISTS (SELECT FROM local_membership WHERE user_id = %(user)s)",
        {"user": user_id},
    )
    return [room_id for (room_id,) in rows]
