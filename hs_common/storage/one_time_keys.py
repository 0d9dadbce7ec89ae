"""One-time and fallback keys. Written by the worker that takes or gives them out; nothing caches them.

Rules: a key is given out once, however many workers are asked at once, and also when its client uploads it again.
Devices are locked in one order, so that no two statements wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries

# For how long a client may repeat an upload whose answer it did not get.
REPEAT_INTERVAL = "1 day"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key by its algorithm and id; `key` is JSON."""

    algorithm: str
    key_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key of some algorithm of a device."""

    user_id: str
    device_id: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key that was given out."""

    wanted: Wanted
    key_id: str
    key: str


async def add_one_time_keys(db: Queries, user_id: str, device_id: str, keys: Sequence[PublicKey]) -> None:
    """Keys that are there already, or were given out lately, are left as they are."""
    await db.execute(
        f"""
        WITH old AS (
            DELETE FROM one_time_keys
             WHERE user_id = %(user)s AND device_id = %(device)s AND claimed < now() - interval '{REPEAT_INTERVAL}'
        )
        INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key)
        SELECT devices.user_id, devices.device_id, new.algorithm, new.key_id, new.key
          FROM unnest(%(algorithms)s::text[], %(ids)s::text[], %(keys)s::text[]) AS new (algorithm, key_id, key)
          JOIN devices ON devices.user_id = %(user)s AND devices.device_id = %(device)s
         ORDER BY new.algorithm, new.key_id
            ON CONFLICT DO NOTHING
        """,
        {
            "user": user_id,
            "device": device_id,
            "algorithms": [one.algorithm for one in keys],
            "ids": [one.key_id for one in keys],
            "keys": [one.key for one in keys],
        },
    )


async def one_time_keys(db: Queries, user_id: str, device_id: str, keys: Sequence[tuple[str, str]]) -> list[PublicKey]:
    """Those of the (algorithm, key id) that wait to be claimed or were given out lately."""
    rows = await db.fetch(
        "SELECT algorithm, key_id, key FROM one_time_keys WHERE user_id = %s AND device_id = %s"
        " AND (algorithm, key_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        (user_id, device_id, [algorithm for algorithm, _ in keys], [key_id for _, key_id in keys]),
    )
    return [PublicKey(*row) for row in rows]


async def set_fallback_keys(db: Queries, user_id: str, device_id: str, keys: Sequence[PublicKey]) -> None:
    """One for each algorithm. The same key once more changes nothing: if it was used, it stays so."""
    await db.execute(
        """
        INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key)
        SELECT devices.user_id, devices.device_id, new.algorithm, new.key_id, new.key
          FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (algorithm, key_id, key)
          JOIN devices ON devices.user_id = %s AND devices.device_id = %s
         ORDER BY new.algorithm
            ON CONFLICT (user_id, device_id, algorithm) DO UPDATE
           SET key_id = excluded.key_id, key = excluded.key, used = false
         WHERE (fallback_keys.key_id, fallback_keys.key) <> (excluded.key_id, excluded.key)
        """,
        (
            [one.algorithm for one in keys],
            [one.key_id for one in keys],
            [one.key for one in keys],
            user_id,
            device_id,
        ),
    )


async def claim_one_time_keys(db: Queries, wanted: Sequence[Wanted]) -> list[Claimed]:
    """The oldest key of each device that has one of the algorithm. Waits for nobody, and gives no key out twice."""
    rows = await db.fetch(
        """
        WITH chosen AS MATERIALIZED (
            SELECT oldest.*
              FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (user_id, device_id, algorithm)
              JOIN devices ON devices.user_id = wanted.user_id AND devices.device_id = wanted.device_id
             CROSS JOIN LATERAL (
                SELECT user_id, device_id, algorithm, key_id
                  FROM one_time_keys AS waiting
                 WHERE waiting.user_id = wanted.user_id AND waiting.device_id = wanted.device_id
                   AND waiting.algorithm = wanted.algorithm AND waiting.claimed IS NULL
                 ORDER BY waiting.seq LIMIT 1 FOR UPDATE SKIP LOCKED
             ) AS oldest
        )
        UPDATE one_time_keys AS given SET claimed = now() FROM chosen
         WHERE (given.user_id, given.device_id, given.algorithm, given.key_id)
             = (chosen.user_id, chosen.device_id, chosen.algorithm, chosen.key_id)
        RETURNING given.user_id, given.device_id, given.algorithm, given.key_id, given.key
        """,
        _columns(wanted),
    )
    return [Claimed(Wanted(*row[:3]), *row[3:]) for row in rows]


async def claim_fallback_keys(db: Queries, wanted: Sequence[Wanted]) -> list[Claimed]:
    """The fallback key of each device that has one of the algorithm, which is marked as used."""
    rows = await db.fetch(
        """
        UPDATE fallback_keys AS given SET used = true
          FROM (SELECT user_id, device_id, algorithm
                  FROM fallback_keys
                  JOIN unnest(%s::text[], %s::text[], %s::text[]) AS wanted (user_id, device_id, algorithm)
                       USING (user_id, device_id, algorithm)
                  JOIN devices USING (user_id, device_id)
                 ORDER BY user_id, device_id, algorithm FOR UPDATE OF fallback_keys) AS held
         WHERE (given.user_id, given.device_id, given.algorithm) = (held.user_id, held.device_id, held.algorithm)
        RETURNING given.user_id, given.device_id, given.algorithm, given.key_id, given.key
        """,
        _columns(wanted),
    )
    return [Claimed(Wanted(*row[:3]), *row[3:]) for row in rows]


async def key_counts(db: Queries, user_id: str, device_id: str) -> dict[str, int]:
    """How many one-time keys of each algorithm wait to be claimed."""
    rows = await db.fetch(
        "SELECT algorithm, count(*) FROM one_time_keys WHERE user_id = %s AND device_id = %s AND claimed IS NULL"
        " GROUP BY algorithm",
        (user_id, device_id),
    )
    return dict(rows)


async def key_state(db: Queries, user_id: str, device_id: str) -> tuple[dict[str, int], list[str]]:
    """How many one-time keys of each algorithm wait, and the algorithms of the fallback keys not given out yet."""
    rows = await db.fetch(
        "SELECT algorithm, count(*) FROM one_time_keys WHERE user_id = %s AND device_id = %s AND claimed IS NULL"
        " GROUP BY algorithm"
        " UNION ALL (SELECT algorithm, NULL FROM fallback_keys"
        " WHERE user_id = %s AND device_id = %s AND NOT used ORDER BY algorithm)",
        (user_id, device_id, user_id, device_id),
    )
    counts = {algorithm: number for algorithm, number in rows if number is not None}
    return counts, [algorithm for algorithm, number in rows if number is None]


def _columns(wanted: Sequence[Wanted]) -> tuple[list[str], list[str], list[str]]:
    ordered = sorted(wanted, key=lambda one: (one.user_id, one.device_id, one.algorithm))
    return (
        [one.user_id for one in ordered],
        [one.device_id for one in ordered],
        [one.algorithm for one in ordered],
    )
