"""The log's tables, statement by statement: outbox, epochs, leader, answers, refused_items.

Anybody may read; only the master writes. Must not know what a body holds.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row

PRUNE_LIMIT = 5_000  # rows of one statement, so that pruning never holds up a commit
CALL_ANSWERS_KEPT_S = 3_600  # a worker gives up after seconds
TRANSACTION_ANSWERS_KEPT_S = 24 * 3_600  # a client repeats a transaction id after a day offline
REFUSED_ITEMS_KEPT_S = 30 * 24 * 3_600


async def head(db: Queries) -> int:
    """The last committed position; 0 while the log is empty."""
    row = await db.fetch_one("SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1")
    return row[0] if row is not None else 0


async def last(db: Queries) -> Row | None:
    """(epoch, pos, made in µs since 1970) of the last entry; None while the log is empty."""
    return await db.fetch_one(
        "SELECT epoch, pos, (extract(epoch FROM made) * 1000000)::bigint FROM outbox ORDER BY pos DESC LIMIT 1"
    )


async def read(db: Queries, after: int, limit: int) -> list[Row]:
    """(pos, prev, epoch, format, body, made in µs since 1970) of the first `limit` entries above `after`, in order."""
    return await db.fetch(
        "SELECT pos, prev, epoch, format, body, (extract(epoch FROM made) * 1000000)::bigint"
        " FROM outbox WHERE pos > %s ORDER BY pos LIMIT %s",
        (after, limit),
    )


async def batch_at(db: Queries, position: int) -> str | None:
    """The uuid of the batch whose last position this is."""
    row = await db.fetch_one("SELECT batch::text FROM outbox WHERE pos = %s", (position,))
    return row[0] if row is not None else None


async def answers(db: Queries, keys: Sequence[bytes]) -> list[Row]:
    """(key, pos, answer, kind) of the keys that have been answered."""
    return await db.fetch("SELECT key, pos, answer, kind FROM answers WHERE key = ANY(%s::bytea[])", (list(keys),))


async def leader(db: Queries) -> Row:
    """(epoch, beat, holder as text, address, format) of the one row."""
    row = await db.fetch_one("SELECT epoch, beat, holder::text, address, format FROM leader")
    assert row is not None, "the leader's row is made with the table"
    return row


async def refuse(db: Queries, key: bytes, sqlstate: str, message: str, item: bytes) -> None:
    """Keeps an item that could not be stored."""
    await db.execute(
        "INSERT INTO refused_items (key, sqlstate, message, item) VALUES (%s, %s, %s, %s)",
        (key, sqlstate, message, item),
    )


async def prune_outbox(db: Queries, keep_s: float) -> int:
    """Deletes up to `PRUNE_LIMIT` entries older than that, from the oldest on; never the last one. Answers how many."""
    return await db.execute(
        "DELETE FROM outbox WHERE pos IN (SELECT pos FROM outbox WHERE pos < COALESCE("
        " (SELECT pos FROM outbox WHERE made >= clock_timestamp() - make_interval(secs => %s) ORDER BY pos LIMIT 1),"
        " (SELECT max(pos) FROM outbox)) AND pos < (SELECT max(pos) FROM outbox) ORDER BY pos LIMIT %s)",
        (keep_s, PRUNE_LIMIT),
    )


async def prune_answers(db: Queries, kind: int, keep_s: float) -> int:
    """Deletes up to `PRUNE_LIMIT` answers of a kind that are older than that. Answers how many."""
    return await db.execute(
        "DELETE FROM answers WHERE key IN (SELECT key FROM answers"
        " WHERE kind = %s AND made < clock_timestamp() - make_interval(secs => %s) ORDER BY made LIMIT %s)",
        (kind, keep_s, PRUNE_LIMIT),
    )


async def prune_refused_items(db: Queries, keep_s: float = REFUSED_ITEMS_KEPT_S) -> int:
    """Deletes refused items older than that. Answers how many."""
    return await db.execute(
        "DELETE FROM refused_items WHERE made < clock_timestamp() - make_interval(secs => %s)", (keep_s,)
    )
