"""Events that may have notified a user, the newest first, over all rooms together. Reads only.

Rows have the columns of `room_events.COLUMNS`, then (rule_bits, is the user mentioned).
"""

from collections.abc import Mapping
from typing import Final

from hs_common.storage.queries import Queries, Row
from hs_common.storage.room_events import COLUMNS

_FOUND: Final = (
    f"SELECT {COLUMNS}, t.rule_bits, m.user_id IS NOT NULL FROM newest AS t JOIN events AS e ON e.event_id = t.event_id"
    " LEFT JOIN mentions AS m ON m.user_id = %(user)s AND m.room_id = t.room_id AND m.order_pos = t.order_pos"
    " AND m.order_sub = 0 ORDER BY t.order_pos DESC"
)
_ROOMS: Final = "FROM unnest(%(rooms)s::text[], %(lows)s::bigint[]) AS w (room_id, low)"


async def newest(db: Queries, user_id: str, lows: Mapping[str, int], before: int, limit: int) -> list[Row]:
    """Events of others in these rooms, after each room's low and before a position, whatever they are."""
    return await db.fetch(
        f"WITH newest AS (SELECT t.* {_ROOMS} CROSS JOIN LATERAL (SELECT * FROM timeline"
        " WHERE timeline.room_id = w.room_id AND order_pos > w.low AND order_pos < %(before)s AND order_sub = 0"
        " AND sender <> %(user)s ORDER BY order_pos DESC LIMIT %(limit)s) AS t ORDER BY t.order_pos DESC"
        f" LIMIT %(limit)s) {_FOUND}",
        _arguments(user_id, lows, before, limit),
    )


async def highlights(db: Queries, user_id: str, lows: Mapping[str, int], before: int, limit: int) -> list[Row]:
    """Of those, the events that mention the user or his room, or end the room."""
    return await db.fetch(
        "WITH found AS ("
        f"(SELECT m.room_id, m.order_pos {_ROOMS} JOIN mentions AS m ON m.user_id = %(user)s"
        " AND m.room_id = w.room_id AND m.order_pos > w.low AND m.order_pos < %(before)s AND m.order_sub = 0"
        " ORDER BY m.order_pos DESC LIMIT %(limit)s)"
        f" UNION (SELECT t.room_id, t.order_pos {_ROOMS} CROSS JOIN LATERAL (SELECT room_id, order_pos FROM timeline"
        " WHERE timeline.room_id = w.room_id AND rule_bits & 24 <> 0 AND order_pos > w.low AND order_pos < %(before)s"
        " ORDER BY order_pos DESC LIMIT %(limit)s) AS t ORDER BY t.order_pos DESC LIMIT %(limit)s)),"
        " newest AS (SELECT t.* FROM found JOIN timeline AS t ON t.room_id = found.room_id"
        " AND t.order_pos = found.order_pos AND t.order_sub = 0 WHERE t.sender <> %(user)s ORDER BY t.order_pos DESC"
        f" LIMIT %(limit)s) {_FOUND}",
        _arguments(user_id, lows, before, limit),
    )


def _arguments(user_id: str, lows: Mapping[str, int], before: int, limit: int) -> dict[str, object]:
    return {"user": user_id, "rooms": list(lows), "lows": list(lows.values()), "before": before, "limit": limit}
