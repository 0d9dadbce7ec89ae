"""Reports of rooms, events and users. Written by the workers that take them."""

from hs_common.storage.queries import Queries, Row


async def add(
    db: Queries,
    received_ts: int,
    reporter: str,
    reason: str,
    *,
    room_id: str | None = None,
    event_id: str | None = None,
    user_id: str | None = None,
    score: int | None = None,
) -> None:
    """Keeps one."""
    await db.execute(
        "INSERT INTO reports (received_ts, reporter, room_id, event_id, user_id, reason, score)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (received_ts, reporter, room_id, event_id, user_id, reason, score),
    )


async def page(
    db: Queries,
    *,
    offset: int,
    limit: int,
    forwards: bool,
    events_only: bool,
    reporter: str | None,
    room_id: str | None,
) -> list[Row]:
    """(report_id, received_ts, reporter, room_id, event_id, user_id, reason, score, the room's name event as JSON, its
    canonical alias event), the oldest first or last, of one reporter or room if given."""
    order = "ASC" if forwards else "DESC"
    return await db.fetch(
        "SELECT r.report_id, r.received_ts, r.reporter, r.room_id, r.event_id, r.user_id, r.reason, r.score,"
        " (SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id WHERE s.room_id = r.room_id"
        " AND s.type = 'm.room.name' AND s.state_key = '' AND s.to_pos = 9223372036854775807),"
        " (SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id WHERE s.room_id = r.room_id"
        " AND s.type = 'm.room.canonical_alias' AND s.state_key = '' AND s.to_pos = 9223372036854775807)"
        " FROM reports AS r WHERE (%(events_only)s = false OR r.event_id IS NOT NULL)"
        " AND (%(reporter)s::text IS NULL OR r.reporter = %(reporter)s)"
        " AND (%(room)s::text IS NULL OR r.room_id = %(room)s)"
        f" ORDER BY r.report_id {order} LIMIT %(limit)s OFFSET %(offset)s",
        {"events_only": events_only, "reporter": reporter, "room": room_id, "limit": limit, "offset": offset},
    )


async def count(db: Queries, *, events_only: bool, reporter: str | None, room_id: str | None) -> int:
    """How many there are of these."""
    row = await db.fetch_one(
        "SELECT count(*) FROM reports AS r WHERE (%(events_only)s = false OR r.event_id IS NOT NULL)"
        " AND (%(reporter)s::text IS NULL OR r.reporter = %(reporter)s)"
        " AND (%(room)s::text IS NULL OR r.room_id = %(room)s)",
        {"events_only": events_only, "reporter": reporter, "room": room_id},
    )
    assert row is not None, "a count is one row"
    return int(row[0])


async def of_event(db: Queries, report_id: int) -> Row | None:
    """(report_id, received_ts, reporter, room_id, event_id, user_id, reason, score, the event as JSON)."""
    return await db.fetch_one(
        "SELECT r.report_id, r.received_ts, r.reporter, r.room_id, r.event_id, r.user_id, r.reason, r.score, e.json"
        " FROM reports AS r LEFT JOIN events AS e ON e.event_id = r.event_id"
        " WHERE r.report_id = %s AND r.event_id IS NOT NULL",
        (report_id,),
    )


async def delete(db: Queries, report_id: int) -> bool:
    """Whether it was there."""
    return await db.execute("DELETE FROM reports WHERE report_id = %s", (report_id,)) > 0
