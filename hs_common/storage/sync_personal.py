"""What /sync reads of a user's own: account data, and the receipts of the user's rooms.

These tables keep the newest row only; one that is newer than the position of the answer comes with the next answer.
Reads only.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def account_data(db: Queries, user_id: str, since: int, upto: int, whole_rooms: Sequence[str]) -> list[Row]:
    """(room_id, type, content, pos): what changed after `since`, and all that `whole_rooms` have. Room '': global."""
    return await db.fetch(
        "SELECT room_id, type, content, pos FROM account_data WHERE user_id = %s AND pos <= %s"
        " AND (pos > %s OR room_id = ANY(%s)) ORDER BY pos",
        (user_id, upto, since, list(whole_rooms)),
    )


async def settings(db: Queries, user_id: str, types: Sequence[str]) -> list[Row]:
    """(type, content) of the user's global account data of some types, as they are now."""
    return await db.fetch(
        "SELECT type, content FROM account_data WHERE user_id = %s AND room_id = '' AND type = ANY(%s)",
        (user_id, list(types)),
    )


async def settings_of_many(db: Queries, user_ids: Sequence[str], types: Sequence[str]) -> list[Row]:
    """(user_id, type, content) of the same for many users."""
    return await db.fetch(
        "SELECT user_id, type, content FROM account_data WHERE user_id = ANY(%s) AND room_id = '' AND type = ANY(%s)",
        (list(user_ids), list(types)),
    )


async def new_receipts(db: Queries, room_ids: Sequence[str], lows: Sequence[int], upto: int) -> list[Row]:
    """(room_id, user_id, receipt_type, thread_id, event_id, ts, pos) of the receipts set after low, in their order."""
    return await db.fetch(
        "SELECT r.room_id, r.user_id, r.receipt_type, r.thread_id, r.event_id, r.ts, r.pos"
        " FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, low)"
        " JOIN receipts AS r ON r.room_id = w.room_id AND r.pos > w.low AND r.pos <= %s ORDER BY r.pos",
        (list(room_ids), list(lows), upto),
    )


async def receipts_of_events(
    db: Queries, room_ids: Sequence[str], oldest: Sequence[int], user_id: str, upto: int
) -> list[Row]:
    """The same columns: each room's receipts of the event at `oldest` and later ones, and all of the user's own.

    A receipt is set after its event was appended, so the index on its own position finds it.
    """
    return await db.fetch(
        "SELECT r.room_id, r.user_id, r.receipt_type, r.thread_id, r.event_id, r.ts, r.pos"
        " FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, oldest)"
        " JOIN receipts AS r ON r.room_id = w.room_id AND r.pos <= %s"
        " AND ((r.pos > w.oldest AND r.order_pos >= w.oldest) OR r.user_id = %s) ORDER BY r.pos",
        (list(room_ids), list(oldest), upto, user_id),
    )


async def rooms_told(db: Queries, user_id: str, room_ids: Sequence[str]) -> list[Row]:
    """(room_id, membership, event_id, json of the member event or NULL, whether the room is published) of a user's
    rooms."""
    return await db.fetch(
        "SELECT m.room_id, m.membership, m.event_id, e.json, coalesce(r.is_public, false) FROM local_membership AS m"
        " LEFT JOIN events AS e ON e.event_id = m.event_id LEFT JOIN rooms AS r ON r.room_id = m.room_id"
        " WHERE m.user_id = %s AND m.to_pos = 9223372036854775807 AND m.room_id = ANY(%s) ORDER BY m.from_pos",
        (user_id, list(room_ids)),
    )


async def room_account_data(db: Queries, user_id: str, room_id: str) -> list[Row]:
    """(type, content) of all that a user has set for one room."""
    return await db.fetch(
        "SELECT type, content FROM account_data WHERE user_id = %s AND room_id = %s ORDER BY pos", (user_id, room_id)
    )
