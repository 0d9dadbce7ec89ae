"""Who holds which part of a duty that workers share. Each change of hands is a new term.

Rules: no row says anything about time; an observer sees beats stand still on a clock of its own. Whoever takes a share
names the term and beat that it saw, so that of two takers one finds nothing to take.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries


class Share(NamedTuple):
    """A row: `holder` is a member's id, None while nobody holds it."""

    shard: int
    holder: str | None
    term: int
    beat: int


async def shares(db: Queries, duty: str) -> list[Share]:
    """All shares of the duty."""
    rows = await db.fetch("SELECT shard, holder::text, term, beat FROM shares WHERE duty = %s ORDER BY shard", (duty,))
    return [Share(*row) for row in rows]


async def renew(db: Queries, duty: str, holder: str) -> dict[int, int]:
    """Shows that the holder lives. Answers what it still holds: shard → term."""
    rows = await db.fetch(
        "UPDATE shares SET beat = beat + 1 WHERE duty = %s AND holder = %s::uuid RETURNING shard, term", (duty, holder)
    )
    return dict(rows)


async def take(db: Queries, duty: str, holder: str, seen: Sequence[Share]) -> dict[int, int]:
    """Takes those of the shares that are still as they were seen. Answers them: shard → the new term."""
    rows = await db.fetch(
        "UPDATE shares SET holder = %s::uuid, term = shares.term + 1, beat = shares.beat + 1"
        " FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS seen (shard, term, beat)"
        " WHERE duty = %s AND shares.shard = seen.shard AND shares.term = seen.term AND shares.beat = seen.beat"
        " RETURNING shares.shard, shares.term",
        (
            holder,
            [share.shard for share in seen],
            [share.term for share in seen],
            [share.beat for share in seen],
            duty,
        ),
    )
    return dict(rows)


async def release(db: Queries, duty: str, holder: str, shards: Sequence[int]) -> None:
    """Lets shares go, so that others take them at once."""
    await db.execute(
        "UPDATE shares SET holder = NULL WHERE duty = %s AND holder = %s::uuid AND shard = ANY(%s)",
        (duty, holder, list(shards)),
    )
