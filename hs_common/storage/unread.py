"""What unread counts are made of: a reader's receipts and own events, events after them, what was counted so far.

`unread_cache` is unlogged and may be lost at any time; workers write it. A row with thread_id '' stands for the room:
it says how far the room was counted and from which lower bound; a thread without a row has no notifications.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row

SCANNED_EVENTS = 10_000  # of one room, newest first: beyond it a count says nothing to anybody


async def own_receipts(db: Queries, user_id: str, room_ids: Sequence[str], upto: int) -> list[Row]:
    """(room_id, thread_id, order_pos, order_sub) of the user's public and private receipts."""
    return await db.fetch(
        "SELECT room_id, thread_id, order_pos, order_sub FROM receipts"
        " WHERE user_id = %s AND room_id = ANY(%s) AND pos <= %s",
        (user_id, list(room_ids), upto),
    )


async def own_events(db: Queries, user_id: str, room_ids: Sequence[str], lows: Sequence[int], upto: int) -> list[Row]:
    """(room_id, thread_root, order_pos) of the user's last event in each thread, of those after low. A function, whose
    plan is kept."""
    return await db.fetch(
        "SELECT * FROM newest_own_events(%s::text[], %s::bigint[], %s, %s)",
        (list(room_ids), list(lows), user_id, upto),
    )


async def groups(
    db: Queries,
    user_id: str,
    room_ids: Sequence[str],
    lows: Sequence[int],
    upto: int,
    threads: Sequence[tuple[str, str, int]],
) -> list[Row]:
    """Events of others after low, counted by all that push rules ask of them without their content.

    (room_id, thread, sender, type is m.room.redaction, rule_bits, is the reader its state_key, is he mentioned, count,
    last order_pos). `threads`: (room_id, thread or 'main', low of that thread), where it is above the room's. A
    function, whose plan is kept.
    """
    thread_rooms, thread_ids, thread_lows = (
        (list(column) for column in zip(*threads, strict=True)) if threads else ([], [], [])
    )
    return await db.fetch(
        "SELECT * FROM unread_groups(%s::text[], %s::bigint[], %s, %s, %s, %s::text[], %s::text[], %s::bigint[])",
        (list(room_ids), list(lows), user_id, upto, SCANNED_EVENTS, thread_rooms, thread_ids, thread_lows),
    )


async def events_of_groups(
    db: Queries, room_ids: Sequence[str], lows: Sequence[int], upto: int, limit: int
) -> list[Row]:
    """Of each room the newest `limit` events after low, for rules that look into events.

    (room_id, thread, order_pos, sender, rule_bits, state_key, event_id, json).
    """
    return await db.fetch(
        "SELECT w.room_id, coalesce(t.thread_root, 'main'), t.order_pos, t.sender, t.rule_bits, t.state_key,"
        " t.event_id, e.json FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, low)"
        " CROSS JOIN LATERAL (SELECT * FROM timeline WHERE timeline.room_id = w.room_id AND order_pos > w.low"
        " AND order_pos <= %s AND order_sub = 0 ORDER BY order_pos DESC LIMIT %s) AS t"
        " JOIN events AS e ON e.event_id = t.event_id ORDER BY t.order_pos DESC",
        (list(room_ids), list(lows), upto, limit),
    )


async def cached(db: Queries, user_id: str, room_ids: Sequence[str]) -> list[Row]:
    """(room_id, thread_id, bound_pos, counted_to, notifications, highlights)."""
    return await db.fetch(
        "SELECT room_id, thread_id, bound_pos, counted_to, notifications, highlights FROM unread_cache"
        " WHERE user_id = %s AND room_id = ANY(%s)",
        (user_id, list(room_ids)),
    )


async def keep(db: Queries, user_id: str, rows: Sequence[tuple[str, str, int, int, int, int]]) -> None:
    """Keeps rows (room_id, thread_id, bound_pos, counted_to, notifications, highlights); what counted further stays.

    Threads of these rooms that are not among the rows have no notifications any more: their rows go.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    await db.execute(
        "WITH fresh AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::int[])"
        " AS f (room_id, thread_id, bound_pos, counted_to, notifications, highlights)),"
        " gone AS (DELETE FROM unread_cache AS u USING fresh AS r WHERE r.thread_id = '' AND u.user_id = %s"
        " AND u.room_id = r.room_id AND u.counted_to <= r.counted_to AND NOT EXISTS (SELECT FROM fresh AS f"
        " WHERE f.room_id = u.room_id AND f.thread_id = u.thread_id))"
        " INSERT INTO unread_cache"
        " (user_id, room_id, thread_id, bound_pos, bound_sub, counted_to, notifications, highlights)"
        " SELECT %s, room_id, thread_id, bound_pos, 0, counted_to, notifications, highlights FROM fresh"
        " ON CONFLICT (user_id, room_id, thread_id) DO UPDATE SET bound_pos = excluded.bound_pos,"
        " counted_to = excluded.counted_to, notifications = excluded.notifications, highlights = excluded.highlights"
        " WHERE unread_cache.counted_to <= excluded.counted_to",
        (*columns, user_id, user_id),
    )


async def mentions(db: Queries, user_id: str, room_ids: Sequence[str], low: int, upto: int) -> set[str]:
    """The ids of the events after low that mention the user."""
    rows = await db.fetch(
        "SELECT event_id FROM mentions WHERE user_id = %s AND room_id = ANY(%s) AND order_pos > %s AND order_pos <= %s",
        (user_id, list(room_ids), low, upto),
    )
    return {event_id for (event_id,) in rows}


async def joined_rooms(db: Queries, user_id: str, room_ids: Sequence[str] | None) -> list[Row]:
    """(room_id, from_pos, version) of rooms that a user is in: all, or those of them."""
    return await db.fetch(
        "SELECT m.room_id, m.from_pos, r.version FROM local_membership AS m JOIN rooms AS r USING (room_id)"
        " WHERE m.user_id = %s AND m.to_pos = 9223372036854775807 AND m.membership = 'join'"
        " AND (%s::text[] IS NULL OR m.room_id = ANY(%s))",
        (user_id, *([None if room_ids is None else list(room_ids)] * 2)),
    )
