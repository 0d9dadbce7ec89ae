"""Device lists and cross-signing keys of users of other servers who share a room with users here.

A list is begun at the first key query, kept up to date by what its server sends, and stale while it is known to lack
something. Its `version` changes with whatever is written of it: who asked the other server before a change overwrites
nothing with the answer. Every statement that writes does it under the list's row, which it takes first.

Written by the workers that serve other servers and by those that answer key queries, who both ask for lists; and read
by the latter. Whoever changes a list tells the master afterwards, which tells the readers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries, Row

NOTHING_YET = -1
"""The `stream_id` of a list that has been begun, and of which nothing has come."""


class RemoteDevice(NamedTuple):
    """`keys`: JSON of the identity keys with their signatures, None for a device without."""

    user_id: str
    device_id: str
    display_name: str | None
    keys: str | None


class KeptList(NamedTuple):
    """`keys` are cross-signing keys (JSON) by usage; `failures` is how often it was asked for in vain."""

    version: int
    stream_id: int
    is_stale: bool
    failures: int
    devices: Mapping[str, RemoteDevice]
    keys: Mapping[str, str]


class RemoteUser(NamedTuple):
    """A user of another server who shares a room with users here. `head`: the newest position when this was read.
    `version` is that of the list's row, None without one. `kept`: the list, None where there is none that is worth
    anything: its user has not shared a room all the time since it was begun."""

    user_id: str
    head: int
    version: int | None
    kept: KeptList | None


class KeptDevice(NamedTuple):
    """One device in its list, None where it is not in it; `size` is that of the list."""

    version: int
    stream_id: int
    is_stale: bool
    size: int
    device: RemoteDevice | None


async def users(db: Queries, user_ids: Sequence[str], server_name: str) -> dict[str, RemoteUser]:
    """Those of the users who share a room with users of this server. The rows of a user are of the same moment."""
    rows = await db.fetch(
        """
        SELECT u.user_id, coalesce((SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1), 0), l.version, l.is_unbroken,
               l.stream_id, l.stale, l.failures, part.kind, part.name, part.display_name, part.keys
          FROM unnest(%(users)s::text[]) AS u (user_id)
          LEFT JOIN LATERAL (
            SELECT l.*, EXISTS (
                SELECT FROM state AS s JOIN room_servers AS r ON r.room_id = s.room_id AND r.server = %(server)s
                   AND r.to_pos = 9223372036854775807 AND r.from_pos <= l.since_pos
                 WHERE s.state_key = l.user_id AND s.type = 'm.room.member' AND s.membership = 'join'
                   AND s.to_pos = 9223372036854775807
                   AND (s.from_pos <= l.since_pos OR s.from_pos - l.since_pos = (
                    SELECT sum(p.to_pos - greatest(p.from_pos, l.since_pos)) FROM state AS p
                     WHERE p.room_id = s.room_id AND p.type = 'm.room.member' AND p.state_key = l.user_id
                       AND p.membership = 'join' AND p.to_pos > l.since_pos AND p.to_pos <= s.from_pos))
            ) AS is_unbroken FROM remote_device_lists AS l WHERE l.user_id = u.user_id
          ) AS l ON true
          LEFT JOIN LATERAL (
            SELECT 'device' AS kind, device_id AS name, display_name, keys FROM remote_devices AS d
             WHERE l.is_unbroken AND d.user_id = u.user_id
            UNION ALL SELECT 'key', usage, NULL, key FROM remote_cross_signing_keys AS k
             WHERE l.is_unbroken AND k.user_id = u.user_id
          ) AS part ON true
         WHERE l.is_unbroken OR EXISTS (
            SELECT FROM state AS s JOIN room_servers AS r ON r.room_id = s.room_id AND r.server = %(server)s
               AND r.to_pos = 9223372036854775807
             WHERE s.state_key = u.user_id AND s.type = 'm.room.member' AND s.membership = 'join'
               AND s.to_pos = 9223372036854775807)
         ORDER BY part.name
        """,
        {"users": list(user_ids), "server": server_name},
    )
    by_user: dict[str, list[Row]] = {}
    for user_id, *row in rows:
        by_user.setdefault(user_id, []).append(tuple(row))
    return {user_id: _user(user_id, found) for user_id, found in by_user.items()}


def _user(user_id: str, rows: Sequence[Row]) -> RemoteUser:
    head, version, is_unbroken, stream_id, is_stale, failures = rows[0][:6]
    kept = None
    if is_unbroken:
        devices = {
            name: RemoteDevice(user_id, name, shown, keys) for *_, kind, name, shown, keys in rows if kind == "device"
        }
        keys = {name: key for *_, kind, name, _, key in rows if kind == "key"}
        kept = KeptList(version, stream_id, is_stale, failures, devices, keys)
    return RemoteUser(user_id, head, version, kept)


async def begin(db: Queries, begun: Sequence[RemoteUser], shards: Sequence[int], seconds: float) -> dict[str, int]:
    """Lists are asked for from now on, by whoever begins them, or after so many seconds by the holders of their
    shards. What was kept of them is dropped. The versions by user of those that nobody else has begun meanwhile."""
    rows = await db.fetch(
        """
        WITH begun AS (
            INSERT INTO remote_device_lists AS l (user_id, shard, stream_id, stale, since_pos, retry_at)
            SELECT n.user_id, n.shard, -1, true, n.since_pos, now() + make_interval(secs => %(seconds)s)
              FROM unnest(%(users)s::text[], %(shards)s::smallint[], %(heads)s::bigint[])
                AS n (user_id, shard, since_pos) ORDER BY n.user_id
            ON CONFLICT (user_id) DO UPDATE SET stream_id = -1, stale = true, failures = 0,
               since_pos = excluded.since_pos, retry_at = excluded.retry_at,
               version = nextval('remote_device_list_versions')
             WHERE l.version = ANY(%(versions)s)
            RETURNING l.user_id, l.version
        ), d AS (
            DELETE FROM remote_devices USING begun WHERE remote_devices.user_id = begun.user_id
        ), k AS (
            DELETE FROM remote_cross_signing_keys AS k USING begun WHERE k.user_id = begun.user_id
        )
        SELECT user_id, version FROM begun
        """,
        {
            "seconds": seconds,
            "users": [user.user_id for user in begun],
            "shards": list(shards),
            "heads": [user.head for user in begun],
            "versions": [user.version for user in begun if user.version is not None],
        },
    )
    return dict(rows)


async def replace(
    db: Queries,
    user_id: str,
    version: int,
    since_pos: int,
    stream_id: int,
    devices: Sequence[RemoteDevice],
    keys: Mapping[str, str],
) -> bool:
    """The whole list as its server told it after the position, and after the list had this version; `keys` are
    cross-signing keys by usage. False if somebody has written meanwhile: nothing is done."""
    row = await db.fetch_one(
        """
        WITH list AS (
            UPDATE remote_device_lists SET stream_id = %(stream)s, stale = false, failures = 0, since_pos = %(since)s,
                   version = nextval('remote_device_list_versions')
             WHERE user_id = %(user)s AND version = %(version)s RETURNING user_id
        ), gone AS (
            DELETE FROM remote_devices AS d USING list
             WHERE d.user_id = list.user_id AND d.device_id <> ALL(%(devices)s::text[])
        ), gone_keys AS (
            DELETE FROM remote_cross_signing_keys AS k USING list
             WHERE k.user_id = list.user_id AND k.usage <> ALL(%(usages)s::text[])
        ), new_keys AS (
            INSERT INTO remote_cross_signing_keys (user_id, usage, key)
            SELECT list.user_id, new.* FROM list, unnest(%(usages)s::text[], %(keys)s::text[]) AS new (usage, key)
            ON CONFLICT (user_id, usage) DO UPDATE SET key = excluded.key
        ), new_devices AS (
            INSERT INTO remote_devices (user_id, device_id, display_name, keys)
            SELECT list.user_id, new.* FROM list,
                   unnest(%(devices)s::text[], %(names)s::text[], %(device_keys)s::text[]) AS new (id, name, keys)
            ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys
        )
        SELECT user_id FROM list
        """,
        {
            "user": user_id,
            "version": version,
            "since": since_pos,
            "stream": stream_id,
            "devices": [device.device_id for device in devices],
            "names": [device.display_name for device in devices],
            "device_keys": [device.keys for device in devices],
            "usages": list(keys),
            "keys": list(keys.values()),
        },
    )
    return row is not None


async def mark_stale(db: Queries, user_id: str) -> bool:
    """Updates were missed: the list has to be asked for, now. False if none is kept."""
    return (
        await db.execute(
            "UPDATE remote_device_lists SET stale = true, failures = 0, retry_at = '-infinity',"
            " version = nextval('remote_device_list_versions') WHERE user_id = %s",
            (user_id,),
        )
        > 0
    )


async def kept_device(db: Queries, user_id: str, device_id: str) -> KeptDevice | None:
    """A device in the list that is kept, None without one."""
    row = await db.fetch_one(
        "SELECT l.version, l.stream_id, l.stale,"
        " (SELECT count(*) FROM remote_devices AS c WHERE c.user_id = l.user_id), d.device_id, d.display_name, d.keys"
        " FROM remote_device_lists AS l LEFT JOIN remote_devices AS d ON d.user_id = l.user_id AND d.device_id = %s"
        " WHERE l.user_id = %s",
        (device_id, user_id),
    )
    if row is None:
        return None
    version, stream_id, is_stale, size, known, display_name, keys = row
    device = None if known is None else RemoteDevice(user_id, known, display_name, keys)
    return KeptDevice(version, stream_id, is_stale, size, device)


async def put_device(db: Queries, device: RemoteDevice, version: int, stream_id: int) -> bool:
    """A device as it is now, and how far the list of this version has come with it. False if somebody has written
    meanwhile: nothing is done."""
    row = await db.fetch_one(
        """
        WITH list AS (
            UPDATE remote_device_lists SET stream_id = %s, version = nextval('remote_device_list_versions')
             WHERE user_id = %s AND version = %s AND NOT stale RETURNING user_id
        ), device AS (
            INSERT INTO remote_devices (user_id, device_id, display_name, keys)
            SELECT user_id, %s, %s, %s FROM list
            ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys
        )
        SELECT user_id FROM list
        """,
        (stream_id, device.user_id, version, device.device_id, device.display_name, device.keys),
    )
    return row is not None


async def remove_device(db: Queries, user_id: str, device_id: str, version: int, stream_id: int) -> bool:
    """The device is gone; likewise."""
    row = await db.fetch_one(
        """
        WITH list AS (
            UPDATE remote_device_lists SET stream_id = %s, version = nextval('remote_device_list_versions')
             WHERE user_id = %s AND version = %s AND NOT stale RETURNING user_id
        ), device AS (
            DELETE FROM remote_devices AS d USING list WHERE d.user_id = list.user_id AND d.device_id = %s
        )
        SELECT user_id FROM list
        """,
        (stream_id, user_id, version, device_id),
    )
    return row is not None


async def put_cross_signing_keys(db: Queries, user_id: str, keys: Mapping[str, str]) -> None:
    """Cross-signing keys by usage, as they are now, of a user whose list is kept."""
    await db.execute(
        "WITH list AS (UPDATE remote_device_lists SET version = nextval('remote_device_list_versions')"
        " WHERE user_id = %s RETURNING user_id)"
        " INSERT INTO remote_cross_signing_keys (user_id, usage, key)"
        " SELECT list.user_id, new.* FROM list, unnest(%s::text[], %s::text[]) AS new (usage, key)"
        " ON CONFLICT (user_id, usage) DO UPDATE SET key = excluded.key",
        (user_id, list(keys), list(keys.values())),
    )


async def stale_lists(db: Queries, shards: Sequence[int], limit: int) -> dict[str, int]:
    """The lists of the shards that are to be asked for now: their versions by user."""
    rows = await db.fetch(
        "SELECT user_id, version FROM remote_device_lists WHERE stale AND shard = ANY(%s) AND retry_at <= now()"
        " ORDER BY retry_at LIMIT %s",
        (list(shards), limit),
    )
    return dict(rows)


async def lists_after(db: Queries, shards: Sequence[int], user_id: str, limit: int) -> dict[str, int]:
    """Lists of the shards in the order of their users, after this one: their versions by user."""
    rows = await db.fetch(
        "SELECT user_id, version FROM remote_device_lists WHERE shard = ANY(%s) AND user_id > %s"
        " ORDER BY user_id LIMIT %s",
        (list(shards), user_id, limit),
    )
    return dict(rows)


async def ask_later(db: Queries, user_id: str, first_s: float, longest_s: float) -> None:
    """The list could not be had: after some time, each time twice as long, it is asked for again."""
    await db.execute(
        "UPDATE remote_device_lists SET failures = least(failures + 1, 30),"
        " retry_at = now() + make_interval(secs => least(%s, %s * 2.0 ^ failures)) WHERE user_id = %s AND stale",
        (longest_s, first_s, user_id),
    )


async def asked_in_vain(db: Queries, user_ids: Sequence[str]) -> None:
    """Somebody wanted the lists and did not get them: who has them later must tell."""
    await db.execute(
        "UPDATE remote_device_lists SET failures = greatest(failures, 1),"
        " version = nextval('remote_device_list_versions') WHERE user_id = ANY(%s) AND stale",
        (list(user_ids),),
    )


async def forget(db: Queries, versions: Sequence[int]) -> None:
    """Lists of these versions that nobody keeps up to date any more: no room is shared with their users, or was not."""
    await db.execute(
        "WITH list AS (DELETE FROM remote_device_lists WHERE version = ANY(%s) RETURNING user_id),"
        " d AS (DELETE FROM remote_devices AS d USING list WHERE d.user_id = list.user_id)"
        " DELETE FROM remote_cross_signing_keys AS k USING list WHERE k.user_id = list.user_id",
        (list(versions),),
    )
