"""The replies in threads of many rooms, the newest first. Reads only."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row
from hs_common.storage.room_events import Place


async def newest_replies(
    db: Queries, room_ids: Sequence[str], ignored: Sequence[str], low: Place, high: Place, limit: int
) -> list[Row]:
    """(room_id, thread_root, event_id, order_pos, order_sub) of replies with low < place <= high; what was redacted is
    none any more."""
    return await db.fetch(
        """
        SELECT n.room_id, n.thread_root, n.event_id, n.order_pos, n.order_sub
          FROM unnest(%(rooms)s::text[]) AS joined (room_id)
         CROSS JOIN LATERAL (
            SELECT t.room_id, t.thread_root, t.event_id, t.order_pos, t.order_sub FROM timeline AS t
              JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = joined.room_id AND t.thread_root IS NOT NULL AND t.sender <> ALL(%(ignored)s)
               AND (t.order_pos, t.order_sub) > (%(low_pos)s, %(low_sub)s)
               AND (t.order_pos, t.order_sub) <= (%(high_pos)s, %(high_sub)s)
             ORDER BY t.order_pos DESC, t.order_sub DESC LIMIT %(limit)s) AS n
         ORDER BY n.order_pos DESC, n.order_sub DESC LIMIT %(limit)s
        """,
        {
            "rooms": list(room_ids),
            "ignored": list(ignored),
            "low_pos": low[0],
            "low_sub": low[1],
            "high_pos": high[0],
            "high_sub": high[1],
            "limit": limit,
        },
    )


async def continued(db: Queries, roots: Sequence[tuple[str, str]], ignored: Sequence[str], high: Place) -> set[str]:
    """Those of the threads, as (room_id, root's event id), that somebody has continued after a place."""
    rows = await db.fetch(
        """
        SELECT c.root FROM unnest(%(rooms)s::text[], %(roots)s::text[]) AS c (room_id, root)
         WHERE EXISTS (
            SELECT FROM timeline AS t JOIN relations AS r ON r.event_id = t.event_id AND r.rel_type = 'm.thread'
             WHERE t.room_id = c.room_id AND t.thread_root = c.root AND t.sender <> ALL(%(ignored)s)
               AND (t.order_pos, t.order_sub) > (%(high_pos)s, %(high_sub)s))
        """,
        {
            "rooms": [room_id for room_id, _ in roots],
            "roots": [root for _, root in roots],
            "ignored": list(ignored),
            "high_pos": high[0],
            "high_sub": high[1],
        },
    )
    return {root for (root,) in rows}
