"""Device lists and cross-signing keys of users of other servers, as far as they share a room with users here.

Written by the workers that serve other servers, and read by those that answer key queries. Whoever writes tells the
master afterwards, which tells the readers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries


class RemoteDevice(NamedTuple):
    """`keys`: JSON of the identity keys with their signatures, None for a device without."""

    user_id: str
    device_id: str
    display_name: str | None
    keys: str | None


async def stream_of(db: Queries, user_id: str) -> tuple[int, bool] | None:
    """(last update, whether updates were missed) of a list that is kept."""
    row = await db.fetch_one("SELECT stream_id, stale FROM remote_device_lists WHERE user_id = %s", (user_id,))
    return None if row is None else (int(row[0]), bool(row[1]))


async def fresh_lists(db: Queries, user_ids: Sequence[str]) -> set[str]:
    """Those of the users whose list is kept and complete."""
    rows = await db.fetch(
        "SELECT user_id FROM remote_device_lists WHERE user_id = ANY(%s) AND NOT stale", (list(user_ids),)
    )
    return {user_id for (user_id,) in rows}


async def mark_stale(db: Queries, user_id: str, shard: int) -> None:
    """Updates were missed: the list has to be asked for, now."""
    await db.execute(
        "INSERT INTO remote_device_lists (user_id, shard, stream_id, stale) VALUES (%s, %s, 0, true)"
        " ON CONFLICT (user_id) DO UPDATE SET stale = true, failures = 0, retry_at = '-infinity'",
        (user_id, shard),
    )


async def advance(db: Queries, user_id: str, before: int, stream_id: int) -> bool:
    """The list has come this far; false if somebody else has written meanwhile."""
    moved = await db.execute(
        "UPDATE remote_device_lists SET stream_id = %s WHERE user_id = %s AND stream_id = %s AND NOT stale",
        (stream_id, user_id, before),
    )
    return moved > 0


async def put_device(db: Queries, device: RemoteDevice) -> None:
    """A device as it is now."""
    await db.execute(
        "INSERT INTO remote_devices (user_id, device_id, display_name, keys) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys",
        device,
    )


async def remove_device(db: Queries, user_id: str, device_id: str) -> None:
    """The device is gone."""
    await db.execute("DELETE FROM remote_devices WHERE user_id = %s AND device_id = %s", (user_id, device_id))


async def count_devices(db: Queries, user_id: str) -> int:
    """How many devices of a user are kept."""
    row = await db.fetch_one("SELECT count(*) FROM remote_devices WHERE user_id = %s", (user_id,))
    assert row is not None, "a count has a row"
    return int(row[0])


async def replace_list(
    db: Queries, user_id: str, shard: int, stream_id: int, devices: Sequence[RemoteDevice], keys: Mapping[str, str]
) -> None:
    """The whole list as its server tells it; `keys` are cross-signing keys by usage. In one statement."""
    await db.execute(
        """
        WITH list AS (
            INSERT INTO remote_device_lists (user_id, shard, stream_id, stale)
            VALUES (%(user)s, %(shard)s, %(stream)s, false)
            ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id, stale = false, failures = 0
        ), gone AS (
            DELETE FROM remote_devices WHERE user_id = %(user)s AND device_id <> ALL(%(devices)s::text[])
        ), gone_keys AS (
            DELETE FROM remote_cross_signing_keys WHERE user_id = %(user)s AND usage <> ALL(%(usages)s::text[])
        ), new_keys AS (
            INSERT INTO remote_cross_signing_keys (user_id, usage, key)
            SELECT %(user)s, new.* FROM unnest(%(usages)s::text[], %(keys)s::text[]) AS new (usage, key)
            ON CONFLICT (user_id, usage) DO UPDATE SET key = excluded.key
        )
        INSERT INTO remote_devices (user_id, device_id, display_name, keys)
        SELECT %(user)s, new.*
          FROM unnest(%(devices)s::text[], %(names)s::text[], %(device_keys)s::text[]) AS new (device_id, name, keys)
        ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys
        """,
        {
            "user": user_id,
            "shard": shard,
            "stream": stream_id,
            "devices": [device.device_id for device in devices],
            "names": [device.display_name for device in devices],
            "device_keys": [device.keys for device in devices],
            "usages": list(keys),
            "keys": list(keys.values()),
        },
    )


async def put_cross_signing_keys(db: Queries, user_id: str, keys: Mapping[str, str]) -> None:
    """Cross-signing keys by usage, as they are now."""
    await db.execute(
        "INSERT INTO remote_cross_signing_keys (user_id, usage, key)"
        " SELECT %s, new.* FROM unnest(%s::text[], %s::text[]) AS new (usage, key)"
        " ON CONFLICT (user_id, usage) DO UPDATE SET key = excluded.key",
        (user_id, list(keys), list(keys.values())),
    )


async def devices(db: Queries, user_ids: Sequence[str]) -> list[RemoteDevice]:
    """The devices of users."""
    rows = await db.fetch(
        "SELECT user_id, device_id, display_name, keys FROM remote_devices WHERE user_id = ANY(%s)"
        " ORDER BY user_id, device_id",
        (list(user_ids),),
    )
    return [RemoteDevice(*row) for row in rows]


async def cross_signing_keys(db: Queries, user_ids: Sequence[str]) -> list[tuple[str, str, str]]:
    """(user_id, usage, JSON) of the cross-signing keys of users."""
    rows = await db.fetch(
        "SELECT user_id, usage, key FROM remote_cross_signing_keys WHERE user_id = ANY(%s)", (list(user_ids),)
    )
    return [(user_id, usage, key) for user_id, usage, key in rows]


async def stale_lists(db: Queries, shards: Sequence[int], limit: int) -> list[tuple[str, int]]:
    """(user_id, failures) of lists of the shards that are to be asked for now."""
    rows = await db.fetch(
        "SELECT user_id, failures FROM remote_device_lists WHERE stale AND shard = ANY(%s) AND retry_at <= now()"
        " ORDER BY retry_at LIMIT %s",
        (list(shards), limit),
    )
    return [(user_id, failures) for user_id, failures in rows]


async def ask_later(db: Queries, user_id: str, seconds: float) -> None:
    """The list could not be had."""
    await db.execute(
        "UPDATE remote_device_lists SET failures = least(failures + 1, 100),"
        " retry_at = now() + make_interval(secs => %s) WHERE user_id = %s",
        (seconds, user_id),
    )


async def forget(db: Queries, user_id: str) -> None:
    """Nobody here shares a room with the user any more: his list is not kept up to date, so it is not kept."""
    await db.execute(
        "WITH d AS (DELETE FROM remote_devices WHERE user_id = %(user)s),"
        " k AS (DELETE FROM remote_cross_signing_keys WHERE user_id = %(user)s)"
        " DELETE FROM remote_device_lists WHERE user_id = %(user)s",
        {"user": user_id},
    )
