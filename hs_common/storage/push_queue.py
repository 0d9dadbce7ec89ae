"""What waits to be pushed, how far the log was judged for whom, and how pushing goes. Written by the workers that push.

Rules: who holds a shard writes with its term; a statement that changes nothing means that another worker holds it. Rows
enter the queue in the same statement that moves `judged_to`, so that nothing is queued twice or skipped.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries, Row


class QueuedPush(NamedTuple):
    """One thing for one pusher. `event_id` None: the counts may have changed."""

    pusher_id: int
    pos: int
    room_id: str
    event_id: str | None
    thread_id: str
    tweaks: str  # JSON object
    at_ms: int


class PushState(NamedTuple):
    badge: int | None
    failures: int


class MailedRoom(NamedTuple):
    """When a room was last told of by email, and how long to wait before the next time."""

    mailed_ms: int
    wait_ms: int


async def claim(db: Queries, terms: Mapping[int, int]) -> dict[int, int]:
    """Makes shards these terms': nobody with older ones writes any more. Answers shard → up to where it is judged."""
    rows = await db.fetch(
        "UPDATE push_shards AS s SET term = held.term FROM unnest(%s::smallint[], %s::bigint[]) AS held (shard, term)"
        " WHERE s.shard = held.shard AND s.term <= held.term RETURNING s.shard, s.judged_to",
        (list(terms), list(terms.values())),
    )
    return dict(rows)


async def judged(
    db: Queries, terms: Mapping[int, int], pos: int, rows: Sequence[QueuedPush], shards: Sequence[int]
) -> set[int]:
    """The shards of `terms` are judged up to `pos`, and these rows (each of the shard beside it) are what came of it.

    Answers the shards that are still held. Rows of others are not written.
    """
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in QueuedPush._fields]
    found = await db.fetch(
        "WITH moved AS (UPDATE push_shards AS s SET judged_to = %s"
        " FROM unnest(%s::smallint[], %s::bigint[]) AS held (shard, term)"
        " WHERE s.shard = held.shard AND s.term = held.term AND s.judged_to <= %s RETURNING s.shard),"
        " queued AS (INSERT INTO push_queue (pusher_id, pos, room_id, event_id, thread_id, tweaks, at_ms)"
        " SELECT pusher_id, pos, room_id, event_id, thread_id, tweaks, at_ms FROM unnest(%s::bigint[], %s::bigint[],"
        " %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::smallint[])"
        " AS new (pusher_id, pos, room_id, event_id, thread_id, tweaks, at_ms, shard)"
        " WHERE new.shard IN (SELECT shard FROM moved) ON CONFLICT DO NOTHING)"
        " SELECT shard FROM moved",
        (pos, list(terms), list(terms.values()), pos, *columns, list(shards)),
    )
    return {shard for (shard,) in found}


async def waiting(db: Queries, pusher_id: int, limit: int) -> list[QueuedPush]:
    """What waits longest for a pusher, in order."""
    rows = await db.fetch(
        "SELECT pusher_id, pos, room_id, event_id, thread_id, tweaks, at_ms FROM push_queue WHERE pusher_id = %s"
        " ORDER BY pos LIMIT %s",
        (pusher_id, limit),
    )
    return [QueuedPush(*row) for row in rows]


async def pushers_with_work(db: Queries, shards: Sequence[int]) -> list[int]:
    """The pushers of these shards for which something waits."""
    rows = await db.fetch(
        "SELECT pusher_id FROM pushers AS p WHERE shard = ANY(%s)"
        " AND EXISTS (SELECT FROM push_queue AS q WHERE q.pusher_id = p.pusher_id)",
        (list(shards),),
    )
    return [pusher_id for (pusher_id,) in rows]


async def state(db: Queries, pusher_id: int) -> PushState:
    row = await db.fetch_one("SELECT badge, failures FROM push_states WHERE pusher_id = %s", (pusher_id,))
    return PushState(None, 0) if row is None else PushState(*row)


async def settle(db: Queries, shard: int, term: int, pusher_id: int, positions: Sequence[int]) -> bool:
    """What waited at these positions needs no push any more. False: the shard is another's."""
    row = await db.fetch_one(
        "WITH held AS (SELECT FROM push_shards WHERE shard = %s AND term = %s),"
        " gone AS (DELETE FROM push_queue WHERE pusher_id = %s AND pos = ANY(%s) AND EXISTS (SELECT FROM held))"
        " SELECT count(*) FROM held",
        (shard, term, pusher_id, list(positions)),
    )
    return row is not None and row[0] == 1


async def pushed(
    db: Queries, shard: int, term: int, pusher_id: int, positions: Sequence[int], badge: int | None, now_ms: int
) -> bool:
    """What waited at these positions was pushed, with this count. False: the shard is another's."""
    row = await db.fetch_one(
        "WITH held AS (SELECT FROM push_shards WHERE shard = %(shard)s AND term = %(term)s),"
        " gone AS (DELETE FROM push_queue WHERE pusher_id = %(pusher)s AND pos = ANY(%(positions)s)"
        " AND EXISTS (SELECT FROM held)),"
        " told AS (INSERT INTO push_states AS s (pusher_id, badge, last_success_ms)"
        " SELECT %(pusher)s, %(badge)s, %(now)s FROM held ON CONFLICT (pusher_id) DO UPDATE"
        " SET badge = coalesce(excluded.badge, s.badge), failures = 0, last_error = NULL,"
        " last_success_ms = excluded.last_success_ms)"
        " SELECT count(*) FROM held",
        {
            "shard": shard,
            "term": term,
            "pusher": pusher_id,
            "positions": list(positions),
            "badge": badge,
            "now": now_ms,
        },
    )
    return row is not None and row[0] == 1


async def failed(db: Queries, pusher_id: int, failures: int, error: str) -> None:
    """Notes for people that pushing fails, and since how many times."""
    await db.execute(
        "INSERT INTO push_states (pusher_id, failures, last_error) VALUES (%s, %s, %s)"
        " ON CONFLICT (pusher_id) DO UPDATE SET failures = excluded.failures, last_error = excluded.last_error",
        (pusher_id, failures, error),
    )


async def mailed_rooms(db: Queries, pusher_id: int) -> dict[str, MailedRoom]:
    """Of an email pusher: room → when it was told of."""
    rows = await db.fetch("SELECT room_id, mailed_ms, wait_ms FROM push_mails WHERE pusher_id = %s", (pusher_id,))
    return {room_id: MailedRoom(mailed_ms, wait_ms) for room_id, mailed_ms, wait_ms in rows}


async def mailed(db: Queries, pusher_id: int, waits: Mapping[str, int], now_ms: int) -> None:
    """Rooms (room → how long to wait now) were told of by email."""
    await db.execute(
        "INSERT INTO push_mails (pusher_id, room_id, mailed_ms, wait_ms)"
        " SELECT %s, room_id, %s, wait_ms FROM unnest(%s::text[], %s::bigint[]) AS new (room_id, wait_ms)"
        " ON CONFLICT (pusher_id, room_id) DO UPDATE SET mailed_ms = excluded.mailed_ms, wait_ms = excluded.wait_ms",
        (pusher_id, now_ms, list(waits), list(waits.values())),
    )


async def drop_old(db: Queries, pusher_id: int, before_ms: int, keep: int) -> int:
    """Drops what waits since before that time, and all but the newest `keep`. Answers how much that was."""
    return await db.execute(
        "DELETE FROM push_queue WHERE pusher_id = %(pusher)s AND (at_ms < %(before)s OR pos <= (SELECT pos"
        " FROM push_queue WHERE pusher_id = %(pusher)s ORDER BY pos DESC OFFSET %(keep)s LIMIT 1))",
        {"pusher": pusher_id, "before": before_ms, "keep": keep},
    )


async def forget_orphans(db: Queries) -> None:
    """Deletes what is kept for pushers that are gone."""
    for table in ("push_queue", "push_states", "push_mails"):
        await db.execute(
            f"DELETE FROM {table} AS old WHERE NOT EXISTS (SELECT FROM pushers AS p WHERE p.pusher_id = old.pusher_id)"
        )


async def forget_deleted_rooms(db: Queries) -> None:
    """Deletes what is kept of rooms that operators have deleted, unless somebody is in them again."""
    for table in ("push_queue", "push_mails"):
        await db.execute(
            f"DELETE FROM {table} AS old USING room_deletions AS d WHERE d.room_id = old.room_id"
            " AND d.status = 'complete' AND NOT EXISTS (SELECT FROM rooms AS r WHERE r.room_id = old.room_id)"
        )


async def lengths(db: Queries, shards: Sequence[int]) -> tuple[int, int | None, int]:
    """Of http pushers of these shards: what waits where pushing works, since when (ms), and where it fails."""
    row = await db.fetch_one(
        "SELECT count(*) FILTER (WHERE works), min(at_ms) FILTER (WHERE works), count(*) FILTER (WHERE NOT works)"
        " FROM (SELECT q.at_ms, coalesce(s.failures, 0) = 0 AS works FROM pushers AS p"
        " JOIN push_queue AS q USING (pusher_id) LEFT JOIN push_states AS s USING (pusher_id)"
        " WHERE p.shard = ANY(%s) AND p.kind = 'http') AS waiting",
        (list(shards),),
    )
    assert row is not None, "an aggregate has a row"
    return row[0], row[1], row[2]


# --- what is judged, read from the tables after a pause ------------------------------------------------------------


async def members(db: Queries, room_id: str, shards: Sequence[int], after: int) -> list[Row]:
    """(user_id, from_pos, to_pos) of joins of a room that held after a position, of users with pushers."""
    return await db.fetch(
        "SELECT m.user_id, m.from_pos, m.to_pos FROM local_membership AS m WHERE m.room_id = %s AND m.to_pos > %s"
        " AND m.membership = 'join' AND EXISTS (SELECT FROM pushers AS p WHERE p.user_id = m.user_id"
        " AND p.shard = ANY(%s))",
        (room_id, after, list(shards)),
    )


async def joins_of(db: Queries, user_id: str, after: int) -> list[Row]:
    """(room_id, from_pos, to_pos) of a user's joins that held after a position."""
    return await db.fetch(
        "SELECT room_id, from_pos, to_pos FROM local_membership WHERE user_id = %s AND to_pos > %s"
        " AND membership = 'join'",
        (user_id, after),
    )


async def missed_events(db: Queries, user_ids: Sequence[str], after: int, upto: int, limit: int) -> list[Row]:
    """The first events in (after, upto] of rooms that these users are or were in since, in the log's order.

    (room_id, pos, event_id, version, sender, type, state_key, thread_root, rule_bits, state_pos, origin_server_ts,
    json, mentioned local users).
    """
    return await db.fetch(
        "SELECT t.room_id, t.order_pos, t.event_id, r.version, t.sender, t.type, t.state_key, t.thread_root,"
        " t.rule_bits, t.state_pos, t.origin_server_ts, e.json,"
        " ARRAY(SELECT m.user_id FROM mentions AS m WHERE m.event_id = t.event_id)"
        " FROM (SELECT DISTINCT room_id FROM local_membership WHERE user_id = ANY(%(users)s) AND to_pos > %(after)s"
        " AND membership IN ('join', 'invite')) AS w CROSS JOIN LATERAL (SELECT * FROM timeline"
        " WHERE timeline.room_id = w.room_id AND order_pos > %(after)s AND order_pos <= %(upto)s AND order_sub = 0"
        " ORDER BY order_pos LIMIT %(limit)s) AS t JOIN events AS e ON e.event_id = t.event_id"
        " JOIN rooms AS r ON r.room_id = t.room_id ORDER BY t.order_pos LIMIT %(limit)s",
        {"users": list(user_ids), "after": after, "upto": upto, "limit": limit},
    )


async def missed_invites(db: Queries, user_ids: Sequence[str], after: int, upto: int) -> list[Row]:
    """(pos, room_id, user_id, event_id, sender) of invites to rooms that this server is not in."""
    return await db.fetch(
        "SELECT from_pos, room_id, user_id, event_id, sender FROM local_membership WHERE user_id = ANY(%s)"
        " AND from_pos > %s AND from_pos <= %s AND membership = 'invite' AND out_of_band ORDER BY from_pos",
        (list(user_ids), after, upto),
    )


async def missed_receipts(db: Queries, user_ids: Sequence[str], after: int, upto: int) -> list[Row]:
    """(pos, room_id, user_id) of the users' own receipts."""
    return await db.fetch(
        "SELECT pos, room_id, user_id FROM receipts WHERE user_id = ANY(%s) AND pos > %s AND pos <= %s ORDER BY pos",
        (list(user_ids), after, upto),
    )


# --- what is counted and shown -------------------------------------------------------------------------------------


async def missed_calls(db: Queries, user_id: str, lows: Mapping[str, int]) -> dict[str, int]:
    """Room → how many calls of others came in after low. 256 is the bit of .m.rule.call."""
    rows = await db.fetch(
        "SELECT w.room_id, count(*) FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, low) JOIN timeline AS t"
        " ON t.room_id = w.room_id AND t.order_pos > w.low AND t.rule_bits & 256 <> 0"
        " AND t.sender <> %s GROUP BY w.room_id",
        (list(lows), list(lows.values()), user_id),
    )
    return dict(rows)


async def event(db: Queries, event_id: str) -> str | None:
    """The JSON of an event that is here and was not redacted."""
    row = await db.fetch_one("SELECT json FROM events WHERE event_id = %s AND redacted_by IS NULL", (event_id,))
    return None if row is None else str(row[0])


async def invite(db: Queries, user_id: str, room_id: str, event_id: str) -> str | None:
    """The stripped state of an invite that still stands; None if it does not."""
    row = await db.fetch_one(
        "SELECT coalesce(stripped_state, '[]') FROM local_membership WHERE user_id = %s AND room_id = %s"
        " AND to_pos = 9223372036854775807 AND event_id = %s AND membership = 'invite'",
        (user_id, room_id, event_id),
    )
    return None if row is None else str(row[0])
