"""The children of an event, and the threads of a room, in pages. Reads only. Rows of events as in `room_events`."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row
from hs_common.storage.room_events import COLUMNS, Place


async def children(
    db: Queries,
    room_id: str,
    parent_id: str,
    rel_type: str | None,
    event_type: str | None,
    low: Place,
    high: Place,
    *,
    depth: int,
    forwards: bool,
    limit: int,
) -> list[Row]:
    """The first `limit` events with low < place <= high that relate to an event over at most `depth` relationships, of
    the given relationship and event type, where given; what lies between them and the event may be of any."""
    order = "ASC" if forwards else "DESC"
    wanted = (
        "(%(rel_type)s::text IS NULL OR r.rel_type = %(rel_type)s)"
        " AND (%(event_type)s::text IS NULL OR r.type = %(event_type)s)"
    )
    columns = "r.event_id, r.order_pos, r.order_sub"
    in_room = "r.room_id = %(room)s"
    related = f"SELECT {columns} FROM relations AS r WHERE r.parent_id = %(parent)s AND {in_room} AND {wanted}"
    if depth > 1:
        related = (
            "WITH RECURSIVE related (event_id, order_pos, order_sub, rel_type, type, depth) AS ("
            f" SELECT {columns}, r.rel_type, r.type, 1 FROM relations AS r"
            f" WHERE r.parent_id = %(parent)s AND {in_room}"
            f" UNION SELECT {columns}, r.rel_type, r.type, p.depth + 1 FROM related AS p"
            f" JOIN relations AS r ON r.parent_id = p.event_id WHERE p.depth < %(depth)s AND {in_room})"
            f" SELECT DISTINCT {columns} FROM related AS r WHERE {wanted}"
        )
    # The page is chosen by places alone: only its own events are read.
    return await db.fetch(
        f"SELECT {COLUMNS} FROM (SELECT c.event_id FROM ({related}) AS c"
        " WHERE (c.order_pos, c.order_sub) > (%(low_pos)s, %(low_sub)s)"
        " AND (c.order_pos, c.order_sub) <= (%(high_pos)s, %(high_sub)s)"
        f" ORDER BY c.order_pos {order}, c.order_sub {order} LIMIT %(limit)s) AS page"
        " JOIN timeline AS t ON t.event_id = page.event_id JOIN events AS e ON e.event_id = t.event_id"
        f" ORDER BY t.order_pos {order}, t.order_sub {order}",
        {
            "room": room_id,
            "parent": parent_id,
            "rel_type": rel_type,
            "event_type": event_type,
            "depth": depth,
            "low_pos": low[0],
            "low_sub": low[1],
            "high_pos": high[0],
            "high_sub": high[1],
            "limit": limit,
        },
    )


async def newest_threaded(db: Queries, room_id: str, ignored: Sequence[str], high: Place, limit: int) -> list[Row]:
    """(thread_root, order_pos, order_sub) of the newest events in threads up to a place, the newest first."""
    return await db.fetch(
        "SELECT t.thread_root, t.order_pos, t.order_sub FROM timeline AS t"
        " JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'"
        " WHERE t.room_id = %s AND t.thread_root IS NOT NULL AND (t.order_pos, t.order_sub) <= (%s, %s)"
        " AND t.sender <> ALL(%s) ORDER BY t.order_pos DESC, t.order_sub DESC LIMIT %s",
        (room_id, *high, list(ignored), limit),
    )


async def threads_among(
    db: Queries,
    room_id: str,
    user_id: str,
    ignored: Sequence[str],
    roots: Sequence[str],
    high: Place,
    *,
    participated: bool,
) -> set[str]:
    """Those of the threads that nobody has continued after a place. `participated`: as in `threads`."""
    rows = await db.fetch(
        """
        SELECT root.event_id FROM unnest(%(roots)s::text[]) AS c (event_id)
          JOIN timeline AS root ON root.event_id = c.event_id AND root.room_id = %(room)s
         WHERE NOT EXISTS (
            SELECT 1 FROM timeline AS t JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = %(room)s AND t.thread_root = c.event_id AND t.sender <> ALL(%(ignored)s)
               AND (t.order_pos, t.order_sub) > (%(high_pos)s, %(high_sub)s))
           AND (NOT %(participated)s OR root.sender = %(user)s OR EXISTS (
            SELECT 1 FROM timeline AS t JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = %(room)s AND t.thread_root = c.event_id AND t.sender = %(user)s))
        """,
        {
            "room": room_id,
            "user": user_id,
            "ignored": list(ignored),
            "roots": list(roots),
            "high_pos": high[0],
            "high_sub": high[1],
            "participated": participated,
        },
    )
    return {event_id for (event_id,) in rows}


async def threads(
    db: Queries, room_id: str, user_id: str, ignored: Sequence[str], high: Place, *, participated: bool, limit: int
) -> list[Row]:
    """(root's event id, order_pos, order_sub of the newest event) of threads, the most recently continued first.

    Roots are found by skipping from one to the next in the index, so a long thread costs no more than a short one; but
    all threads of the room are looked at.
    `participated`: only those in which the user sent an event, or the root.
    """
    return await db.fetch(
        """
        WITH RECURSIVE roots (event_id) AS (
            (SELECT thread_root FROM timeline WHERE room_id = %(room)s AND thread_root IS NOT NULL
              ORDER BY thread_root LIMIT 1)
            UNION ALL
            SELECT (SELECT t.thread_root FROM timeline AS t
                     WHERE t.room_id = %(room)s AND t.thread_root > roots.event_id ORDER BY t.thread_root LIMIT 1)
              FROM roots WHERE roots.event_id IS NOT NULL
        )
        SELECT roots.event_id, newest.order_pos, newest.order_sub
          FROM roots JOIN timeline AS root ON root.event_id = roots.event_id AND root.room_id = %(room)s
         CROSS JOIN LATERAL (
            SELECT t.order_pos, t.order_sub FROM timeline AS t
              JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = %(room)s AND t.thread_root = roots.event_id AND t.sender <> ALL(%(ignored)s)
             ORDER BY t.order_pos DESC, t.order_sub DESC LIMIT 1
         ) AS newest
         WHERE (newest.order_pos, newest.order_sub) <= (%(high_pos)s, %(high_sub)s)
           AND (NOT %(participated)s OR root.sender = %(user)s OR EXISTS (
            SELECT 1 FROM timeline AS t JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = %(room)s AND t.thread_root = roots.event_id AND t.sender = %(user)s))
         ORDER BY newest.order_pos DESC, newest.order_sub DESC LIMIT %(limit)s
        """,
        {
            "room": room_id,
            "user": user_id,
            "ignored": list(ignored),
            "high_pos": high[0],
            "high_sub": high[1],
            "participated": participated,
            "limit": limit,
        },
    )
