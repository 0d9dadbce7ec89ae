"""What importing history looks at in a room. Reads only."""

from collections.abc import Sequence
from typing import Final

from hs_common.storage.queries import Queries, Row

IMPORTED: Final = 4
"""`events.status` of what was imported under an id that a bridge chose: this server's alone, outside the graph."""


async def has_messages(db: Queries, room_id: str) -> bool:
    """Whether anything but state has happened in the room."""
    row = await db.fetch_one("SELECT 1 FROM timeline WHERE room_id = %s AND state_key IS NULL LIMIT 1", (room_id,))
    return row is not None


async def anchor(db: Queries, room_id: str) -> Row | None:
    """(order_pos, state_pos, delta_id, lowest order_sub there) of the live event before which the past is: the first
    message, else the newest event. None if the room is not known."""
    return await db.fetch_one(
        "SELECT a.order_pos, a.state_pos, a.delta_id, (SELECT order_sub FROM timeline AS t WHERE t.room_id = a.room_id"
        " AND t.order_pos = a.order_pos ORDER BY order_sub LIMIT 1) FROM ("
        "(SELECT 1 AS choice, * FROM timeline WHERE room_id = %(room)s AND state_key IS NULL AND order_sub = 0"
        " ORDER BY order_pos LIMIT 1) UNION ALL"
        " (SELECT 2 AS choice, * FROM timeline WHERE room_id = %(room)s AND order_sub = 0"
        " ORDER BY order_pos DESC LIMIT 1)"
        ") AS a ORDER BY a.choice LIMIT 1",
        {"room": room_id},
    )


async def rooms_of(db: Queries, event_ids: Sequence[str]) -> dict[str, str]:
    """Event id → room, of those of the events that are here."""
    return dict(await db.fetch("SELECT event_id, room_id FROM events WHERE event_id = ANY(%s)", (list(event_ids),)))
