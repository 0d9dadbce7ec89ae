"""Events that are to be sent later, and what became of them. Written by the master.

Spec: MSC4140.
"""

from typing import NamedTuple

from hs_common.storage.queries import Queries

_COLUMNS = (
    "delay_id, user_id, room_id, type, state_key, content, redacts, device_id, timestamp_ms, delay_ms, since_ms,"
    " due_ms, finalised_ms, event_id, error"
)


class DelayedEvent(NamedTuple):
    """A row. `content` and `error` are JSON."""

    delay_id: str
    user_id: str
    room_id: str
    type: str
    state_key: str | None
    content: str
    redacts: str | None
    device_id: str | None
    timestamp_ms: int | None
    delay_ms: int
    since_ms: int
    due_ms: int
    finalised_ms: int | None = None
    event_id: str | None = None
    error: str | None = None


async def delayed_event(db: Queries, delay_id: str) -> DelayedEvent | None:
    """The event of that id, scheduled or finalised."""
    row = await db.fetch_one(f"SELECT {_COLUMNS} FROM delayed_events WHERE delay_id = %s", (delay_id,))
    return None if row is None else DelayedEvent(*row)


async def scheduled_by(db: Queries, user_id: str, limit: int) -> list[DelayedEvent]:
    """The user's scheduled events, in the order in which they will be sent."""
    rows = await db.fetch(
        f"SELECT {_COLUMNS} FROM delayed_events WHERE user_id = %s AND finalised_ms IS NULL"
        " ORDER BY due_ms, delay_id LIMIT %s",
        (user_id, limit),
    )
    return [DelayedEvent(*row) for row in rows]


async def count_scheduled(db: Queries, user_id: str) -> tuple[int, int | None]:
    """How many events the user has scheduled, and when the first of them is due."""
    row = await db.fetch_one(
        "SELECT count(*), min(due_ms) FROM delayed_events WHERE user_id = %s AND finalised_ms IS NULL", (user_id,)
    )
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


async def due(db: Queries, now_ms: int, limit: int) -> list[str]:
    """The ids of events whose time has come, the earliest first."""
    rows = await db.fetch(
        "SELECT delay_id FROM delayed_events WHERE finalised_ms IS NULL AND due_ms <= %s"
        " ORDER BY due_ms, delay_id LIMIT %s",
        (now_ms, limit),
    )
    return [delay_id for (delay_id,) in rows]


async def next_due_ms(db: Queries) -> int | None:
    """When the next event is due."""
    row = await db.fetch_one("SELECT min(due_ms) FROM delayed_events WHERE finalised_ms IS NULL")
    return None if row is None else row[0]


async def has_finalised_before(db: Queries, before_ms: int) -> bool:
    """Whether there are finalised events as old as that."""
    return await db.fetch_one("SELECT FROM delayed_events WHERE finalised_ms < %s LIMIT 1", (before_ms,)) is not None
