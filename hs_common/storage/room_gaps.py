"""Where events are missing in timelines. Reads only: the master writes."""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries

Place = tuple[int, int]


class Gap(NamedTuple):
    """Before the place (before_pos, next_sub) the events `wanted`, and what they cite, are missing.

    `in_vain`: how often nobody who was asked knew more."""

    before_pos: int
    next_sub: int
    wanted: list[str]
    in_vain: int = 0


async def newest_gap(db: Queries, room_id: str, below: Place, above: Place, now_ms: int) -> Gap | None:
    """The gap that is met first when one reads backwards from a place to another, of those that are worth asking for
    by now."""
    row = await db.fetch_one(
        "SELECT before_pos, next_sub, wanted, in_vain FROM room_gap WHERE room_id = %s"
        " AND (before_pos, next_sub) < (%s, %s) AND (before_pos, next_sub) >= (%s, %s) AND again_ms <= %s"
        " ORDER BY before_pos DESC LIMIT 1",
        (room_id, *below, *above, now_ms),
    )
    return None if row is None else Gap(row[0], row[1], list(row[2]), row[3])


async def rooms_with_gaps(db: Queries, room_ids: Sequence[str]) -> set[str]:
    """Those of the rooms in whose timelines anything is missing."""
    rows = await db.fetch("SELECT DISTINCT room_id FROM room_gap WHERE room_id = ANY(%s)", (list(room_ids),))
    return {room_id for (room_id,) in rows}


async def count_between(db: Queries, room_id: str, low: Place, high: Place, limit: int) -> int:
    """How many events of the timeline lie in between; at most `limit` are counted."""
    row = await db.fetch_one(
        "SELECT count(*) FROM (SELECT FROM timeline WHERE room_id = %s AND (order_pos, order_sub) > (%s, %s)"
        " AND (order_pos, order_sub) <= (%s, %s) LIMIT %s) AS t",
        (room_id, *low, *high, limit),
    )
    assert row is not None, "a count has a row"
    return int(row[0])


async def in_timeline(db: Queries, event_ids: Sequence[str]) -> set[str]:
    """Those of the events that are in a timeline, or were refused one."""
    rows = await db.fetch(
        "SELECT event_id FROM events WHERE event_id = ANY(%s) AND status NOT IN (3, 5)", (list(event_ids),)
    )
    return {event_id for (event_id,) in rows}
