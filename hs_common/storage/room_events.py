"""Events of one room's timeline, read by place, by id and by time. Reads only.

Rows have the columns of `COLUMNS`, in that order; `hs_common.reading.stored_event` gives them names.
"""

from collections.abc import Sequence
from typing import Final

from hs_common.storage.queries import Queries, Row

Place = tuple[int, int]
"""(order_pos, order_sub)"""

COLUMNS: Final = (
    "t.room_id, t.order_pos, t.order_sub, t.event_id, t.sender, t.type, t.state_key, t.origin_server_ts, t.thread_root,"
    " t.state_pos, t.delta_id, t.device_id, t.txn_id, e.replaces_state, e.redacted_by, e.json"
)


async def page(
    db: Queries, room_id: str, low: Place, high: Place, *, forwards: bool, limit: int, senders: Sequence[str] | None
) -> list[Row]:
    """The first `limit` events with low < place <= high, in the direction asked for; of some senders, if given."""
    order = "ASC" if forwards else "DESC"
    of_senders = "" if senders is None else " AND sender = ANY(%(senders)s)"
    return await db.fetch(
        f"SELECT {COLUMNS} FROM (SELECT * FROM timeline WHERE room_id = %(room)s"
        " AND (order_pos, order_sub) > (%(low_pos)s, %(low_sub)s)"
        f" AND (order_pos, order_sub) <= (%(high_pos)s, %(high_sub)s){of_senders}"
        f" ORDER BY order_pos {order}, order_sub {order} LIMIT %(limit)s) AS t"
        " JOIN events AS e ON e.event_id = t.event_id"
        f" ORDER BY t.order_pos {order}, t.order_sub {order}",
        {
            "room": room_id,
            "low_pos": low[0],
            "low_sub": low[1],
            "high_pos": high[0],
            "high_sub": high[1],
            "senders": None if senders is None else list(senders),
            "limit": limit,
        },
    )


async def events(db: Queries, room_id: str, event_ids: Sequence[str]) -> list[Row]:
    """Those of the events that are in the room's timeline, in any order."""
    return await db.fetch(
        f"SELECT {COLUMNS} FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id"
        " WHERE t.event_id = ANY(%s) AND t.room_id = %s",
        (list(event_ids), room_id),
    )


async def events_of_rooms(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Those of the events that are in the timeline of any room, in any order. A function: its plan is kept."""
    return await db.fetch("SELECT * FROM timeline_events(%s::text[])", (list(event_ids),))


async def around(
    db: Queries, stretches: Sequence[tuple[str, Place, Place, Place]], before: int, after: int
) -> list[Row]:
    """(number of the stretch, whether it is after, …): the nearest events on both sides of places.

    Each stretch is (room_id, low, place, high): events with low < … < place, and with place < … <= high. The statement
    is a function, whose plan a session keeps.
    """
    room_ids, lows, places, highs = zip(*stretches, strict=True)
    columns = [[place[number] for place in column] for column in (lows, places, highs) for number in (0, 1)]
    return await db.fetch(
        "SELECT * FROM events_around(%s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::integer[],"
        " %s::bigint[], %s::integer[], %s, %s)",
        (list(room_ids), *columns, before, after),
    )


async def by_time(db: Queries, room_id: str, ts: int, *, forwards: bool, offset: int, limit: int) -> list[Row]:
    """Events at or after (before) a time of day in ms, the nearest first."""
    comparison, order = (">=", "ASC") if forwards else ("<=", "DESC")
    return await db.fetch(
        f"SELECT {COLUMNS} FROM (SELECT * FROM timeline WHERE room_id = %s AND origin_server_ts {comparison} %s"
        f" ORDER BY origin_server_ts {order}, order_pos {order}, order_sub {order} LIMIT %s OFFSET %s) AS t"
        " JOIN events AS e ON e.event_id = t.event_id"
        f" ORDER BY t.origin_server_ts {order}, t.order_pos {order}, t.order_sub {order}",
        (room_id, ts, limit, offset),
    )


async def sender_of(db: Queries, room_id: str, event_id: str) -> str | None:
    """Who sent an event of the room's timeline; None if it is not in it."""
    row = await db.fetch_one("SELECT sender FROM timeline WHERE event_id = %s AND room_id = %s", (event_id, room_id))
    return None if row is None else str(row[0])


async def thread_of(db: Queries, room_id: str, event_id: str) -> Row | None:
    """(thread_root) of an event of the room's timeline, NULL for the main timeline; None if it is not in it."""
    return await db.fetch_one(
        "SELECT thread_root FROM timeline WHERE event_id = %s AND room_id = %s", (event_id, room_id)
    )


async def room_of(db: Queries, event_id: str) -> str | None:
    """The room in whose timeline an event is."""
    row = await db.fetch_one("SELECT room_id FROM timeline WHERE event_id = %s", (event_id,))
    return None if row is None else str(row[0])
