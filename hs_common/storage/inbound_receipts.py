"""Receipts of other servers' users that wait for their events. Written by the workers that serve other servers."""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries


class WaitingReceipt(NamedTuple):
    """What a user has read of a room or a thread of it; `thread_id` is empty where it is of none."""

    room_id: str
    user_id: str
    thread_id: str
    event_id: str
    ts: int


async def keep(db: Queries, receipts: Sequence[WaitingReceipt], origin: str, limit: int, seconds: float) -> None:
    """Keeps the newest of each user and thread, to be tried again after so long; none while `limit` of the origin's
    wait. No two of `receipts` are of one user and thread."""
    await db.execute(
        "INSERT INTO inbound_receipt AS old (room_id, user_id, thread_id, event_id, ts, origin, retry_at)"
        " SELECT new.room_id, new.user_id, new.thread_id, new.event_id, new.ts, %s, now() + make_interval(secs => %s)"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])"
        " AS new (room_id, user_id, thread_id, event_id, ts)"
        " WHERE (SELECT count(*) FROM inbound_receipt WHERE origin = %s) < %s"
        " ORDER BY new.room_id, new.user_id, new.thread_id"
        " ON CONFLICT (room_id, user_id, thread_id) DO UPDATE SET event_id = excluded.event_id, ts = excluded.ts,"
        " attempts = 0, retry_at = excluded.retry_at WHERE old.ts < excluded.ts",
        (
            origin,
            seconds,
            [one.room_id for one in receipts],
            [one.user_id for one in receipts],
            [one.thread_id for one in receipts],
            [one.event_id for one in receipts],
            [one.ts for one in receipts],
            origin,
            limit,
        ),
    )


async def remove(db: Queries, receipts: Sequence[WaitingReceipt]) -> None:
    """They were taken in, or never will be. One that has come for the same user and thread since stays."""
    await db.execute(
        "DELETE FROM inbound_receipt AS old USING unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])"
        " AS gone (room_id, user_id, thread_id, ts) WHERE old.room_id = gone.room_id AND old.user_id = gone.user_id"
        " AND old.thread_id = gone.thread_id AND old.ts = gone.ts",
        (
            [one.room_id for one in receipts],
            [one.user_id for one in receipts],
            [one.thread_id for one in receipts],
            [one.ts for one in receipts],
        ),
    )


async def take_due(db: Queries, seconds: float, growth: float, limit: int) -> list[tuple[WaitingReceipt, int]]:
    """Those whose time has come, with the number of attempts so far, longest waiting first. Nobody else is given them
    for a while, which grows with each attempt: so one process tries them, and another does when that has died."""
    rows = await db.fetch(
        "UPDATE inbound_receipt AS old SET attempts = old.attempts + 1,"
        " retry_at = now() + make_interval(secs => %s * power(%s, old.attempts)) FROM (SELECT room_id, user_id,"
        " thread_id FROM inbound_receipt WHERE retry_at <= now() ORDER BY retry_at LIMIT %s FOR UPDATE SKIP LOCKED)"
        " AS due WHERE old.room_id = due.room_id AND old.user_id = due.user_id AND old.thread_id = due.thread_id"
        " RETURNING old.room_id, old.user_id, old.thread_id, old.event_id, old.ts, old.attempts - 1",
        (seconds, growth, limit),
    )
    return [(WaitingReceipt(*row[:5]), row[5]) for row in rows]
