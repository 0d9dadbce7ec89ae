"""Whose devices or keys changed, and who came to share a room or ceased to, as one reader is to be told.

Every statement is about a span (since, upto] of the log. Only whether somebody else is joined to a shared room is
looked up as it is now, which an index has: who comes or goes after the span is told of by the next one. Reads only.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries


async def changed_users(db: Queries, reader_id: str, since: int, upto: int) -> list[str]:
    """Those whose devices or keys changed: the reader, and who shares a room with the reader."""
    rows = await db.fetch(
        """
        SELECT user_id FROM (
            SELECT DISTINCT user_id FROM device_list_changes WHERE pos > %(since)s AND pos <= %(upto)s
        ) AS c
         WHERE c.user_id = %(reader)s OR EXISTS (
            SELECT FROM state AS s
              JOIN local_membership AS m ON m.room_id = s.room_id AND m.user_id = %(reader)s
               AND m.membership = 'join' AND m.from_pos <= %(upto)s AND m.to_pos > %(upto)s
             WHERE s.state_key = c.user_id AND s.type = 'm.room.member' AND s.membership = 'join'
               AND s.to_pos = 9223372036854775807)
        UNION
        SELECT user_id FROM private_key_changes WHERE reader_id = %(reader)s AND pos > %(since)s AND pos <= %(upto)s
        """,
        {"reader": reader_id, "since": since, "upto": upto},
    )
    return [user_id for (user_id,) in rows]


async def joined_spans(db: Queries, reader_id: str, since: int, upto: int) -> list[tuple[str, int, int]]:
    """(room id, from, to) of the reader's joins that hold somewhere from `since` on up to the end of the span."""
    rows = await db.fetch(
        "SELECT room_id, from_pos, to_pos FROM local_membership WHERE user_id = %s AND membership = 'join'"
        " AND to_pos > %s AND from_pos <= %s",
        (reader_id, since, upto),
    )
    return [(room_id, from_pos, to_pos) for room_id, from_pos, to_pos in rows]


async def members(db: Queries, room_ids: Sequence[str], at: int) -> set[str]:
    """Who is joined to any of the rooms at a position."""
    rows = await db.fetch(
        "SELECT DISTINCT state_key FROM state WHERE room_id = ANY(%s) AND type = 'm.room.member'"
        " AND membership = 'join' AND from_pos <= %s AND to_pos > %s",
        (list(room_ids), at, at),
    )
    return {user_id for (user_id,) in rows}


async def came_and_went(db: Queries, room_ids: Sequence[str], since: int, upto: int) -> tuple[set[str], set[str]]:
    """Who is joined to one of the rooms at the end and was not at the beginning, and the other way round."""
    rows = await db.fetch(
        """
        WITH moved AS (
            SELECT DISTINCT room_id, state_key FROM state
             WHERE room_id = ANY(%(rooms)s) AND from_pos > %(since)s AND from_pos <= %(upto)s AND type = 'm.room.member'
            UNION
            SELECT room_id, state_key FROM state
             WHERE room_id = ANY(%(rooms)s) AND to_pos > %(since)s AND to_pos <= %(upto)s AND type = 'm.room.member'
        )
        SELECT moved.state_key,
               EXISTS (SELECT FROM state AS s WHERE s.room_id = moved.room_id AND s.type = 'm.room.member'
                          AND s.state_key = moved.state_key AND s.membership = 'join'
                          AND s.from_pos <= %(since)s AND s.to_pos > %(since)s),
               EXISTS (SELECT FROM state AS s WHERE s.room_id = moved.room_id AND s.type = 'm.room.member'
                          AND s.state_key = moved.state_key AND s.membership = 'join'
                          AND s.from_pos <= %(upto)s AND s.to_pos > %(upto)s)
          FROM moved
        """,
        {"rooms": list(room_ids), "since": since, "upto": upto},
    )
    came = {user_id for user_id, was_there, is_there in rows if is_there and not was_there}
    went = {user_id for user_id, was_there, is_there in rows if was_there and not is_there}
    return came, went


async def sharing(db: Queries, reader_id: str, others: Sequence[str], at: int) -> set[str]:
    """Those of `others` who are now joined to a room that the reader is joined to at a position."""
    rows = await db.fetch(
        """
        SELECT o.user_id FROM unnest(%(others)s::text[]) AS o (user_id) WHERE EXISTS (
            SELECT FROM state AS s
              JOIN local_membership AS m ON m.room_id = s.room_id AND m.user_id = %(reader)s
               AND m.membership = 'join' AND m.from_pos <= %(at)s AND m.to_pos > %(at)s
             WHERE s.state_key = o.user_id AND s.type = 'm.room.member' AND s.membership = 'join'
               AND s.to_pos = 9223372036854775807)
        """,
        {"reader": reader_id, "others": list(others), "at": at},
    )
    return {user_id for (user_id,) in rows}


async def last_change(db: Queries, user_id: str) -> int:
    """The position of the last change of a user's devices; 0 if there was none. Changed cross-signing keys are told
    without one."""
    row = await db.fetch_one(
        "SELECT max(pos) FROM device_list_changes WHERE user_id = %s AND device_ids IS DISTINCT FROM '[]'", (user_id,)
    )
    return 0 if row is None or row[0] is None else int(row[0])
