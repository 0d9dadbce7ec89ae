"""Backups of room keys, encrypted by their owners. Written by whichever worker is asked; nothing caches them.

Rules: a version is never used twice, not even after the database was restored from an older copy, since it is never
below the clock. Keys are put in under a lock of their version, so that `count` and `etag` are true.

Spec: client-server-api/#server-side-key-backups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries, StatementRefused

# Each attempt meets another request of the same user that made a version within the same millisecond.
CREATE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Backup:
    """A version of a backup. `auth_data` is JSON."""

    version: int
    algorithm: str
    auth_data: str
    etag: int
    count: int


@dataclass(frozen=True, slots=True)
class BackedUpKey:
    """The key of a session; `session_data` is JSON."""

    room_id: str
    session_id: str
    first_message_index: int
    forwarded_count: int
    is_verified: bool
    session_data: str


async def create_backup(db: Queries, user_id: str, algorithm: str, auth_data: str, now_ms: int) -> int:
    """The new version, which is current from now on."""
    for attempt in range(CREATE_ATTEMPTS):
        try:
            row = await db.fetch_one(
                "INSERT INTO key_backups (user_id, version, algorithm, auth_data)"
                " SELECT %s, greatest(coalesce(max(version), 0) + 1, %s), %s, %s FROM key_backups WHERE user_id = %s"
                " RETURNING version",
                (user_id, now_ms, algorithm, auth_data, user_id),
            )
        except StatementRefused:
            if attempt + 1 == CREATE_ATTEMPTS:
                raise
            continue
        assert row is not None, "an aggregate has one row"
        return int(row[0])
    raise AssertionError("the last attempt returns or raises")


async def backup(db: Queries, user_id: str, version: int | None) -> Backup | None:
    """A version that is not deleted; None: the current one."""
    row = await db.fetch_one(
        "SELECT version, algorithm, auth_data, etag, count FROM key_backups"
        " WHERE user_id = %s AND NOT deleted AND (%s::bigint IS NULL OR version = %s) ORDER BY version DESC LIMIT 1",
        (user_id, version, version),
    )
    return None if row is None else Backup(*row)


async def lock_backup(db: Queries, user_id: str, version: int) -> bool:
    """Holds a version until the transaction ends; False if there is none."""
    found = await db.fetch_one(
        "SELECT 1 FROM key_backups WHERE user_id = %s AND version = %s AND NOT deleted FOR UPDATE", (user_id, version)
    )
    return found is not None


async def set_auth_data(db: Queries, user_id: str, version: int, auth_data: str) -> None:
    await db.execute(
        "UPDATE key_backups SET auth_data = %s WHERE user_id = %s AND version = %s AND NOT deleted",
        (auth_data, user_id, version),
    )


async def delete_backup(db: Queries, user_id: str, version: int) -> bool:
    """Deletes a version; False if there never was one. Its keys are deleted by `delete_keys`."""
    touched = await db.execute(
        "UPDATE key_backups SET deleted = true, auth_data = '{}', count = 0 WHERE user_id = %s AND version = %s",
        (user_id, version),
    )
    return touched == 1


async def put_keys(db: Queries, user_id: str, version: int, keys: Sequence[BackedUpKey]) -> tuple[int, int]:
    """Adds keys, or replaces those that the new ones are better than. How many were added, and how many replaced."""
    rows = await db.fetch(
        """
        INSERT INTO backed_up_keys AS old
        SELECT %s, %s, new.* FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::boolean[], %s::text[])
            AS new (room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
            ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE
           SET first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
               is_verified = excluded.is_verified, session_data = excluded.session_data
         WHERE (NOT excluded.is_verified, excluded.first_message_index, excluded.forwarded_count)
             < (NOT old.is_verified, old.first_message_index, old.forwarded_count)
        RETURNING xmax = 0
        """,
        (
            user_id,
            version,
            [one.room_id for one in keys],
            [one.session_id for one in keys],
            [one.first_message_index for one in keys],
            [one.forwarded_count for one in keys],
            [one.is_verified for one in keys],
            [one.session_data for one in keys],
        ),
    )
    added = sum(is_new for (is_new,) in rows)
    return added, len(rows) - added


async def note_change(db: Queries, user_id: str, version: int, added: int) -> None:
    """The keys changed: so many more (or fewer) than before."""
    await db.execute(
        "UPDATE key_backups SET etag = etag + 1, count = count + %s WHERE user_id = %s AND version = %s",
        (added, user_id, version),
    )


async def keys(
    db: Queries, user_id: str, version: int, room_id: str | None = None, session_id: str | None = None
) -> list[BackedUpKey]:
    """The keys of a version, of one of its rooms, or of one session there."""
    rows = await db.fetch(
        "SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data"
        f" FROM backed_up_keys WHERE {_scope(room_id, session_id)}",
        {"user": user_id, "version": version, "room": room_id, "session": session_id},
    )
    return [BackedUpKey(*row) for row in rows]


async def delete_keys(
    db: Queries, user_id: str, version: int, room_id: str | None = None, session_id: str | None = None
) -> int:
    """Deletes the keys of a version, of one of its rooms, or of one session there. How many there were."""
    return await db.execute(
        f"DELETE FROM backed_up_keys WHERE {_scope(room_id, session_id)}",
        {"user": user_id, "version": version, "room": room_id, "session": session_id},
    )


async def delete_some_of_user(db: Queries, user_id: str, limit: int) -> int:
    """Deletes keys of a user's backups, and, with the last of them, the backups. How many keys were deleted."""
    return await db.execute(
        """
        WITH chosen AS MATERIALIZED (
            SELECT user_id, version, room_id, session_id FROM backed_up_keys WHERE user_id = %(user)s LIMIT %(limit)s
        ), backups AS (
            DELETE FROM key_backups WHERE user_id = %(user)s AND (SELECT count(*) FROM chosen) < %(limit)s
        )
        DELETE FROM backed_up_keys AS old USING chosen
         WHERE (old.user_id, old.version, old.room_id, old.session_id)
             = (chosen.user_id, chosen.version, chosen.room_id, chosen.session_id)
        """,
        {"user": user_id, "limit": limit},
    )


def _scope(room_id: str | None, session_id: str | None) -> str:
    scope = "user_id = %(user)s AND version = %(version)s"
    if room_id is not None:
        scope += " AND room_id = %(room)s"
    return scope if session_id is None else scope + " AND session_id = %(session)s"
