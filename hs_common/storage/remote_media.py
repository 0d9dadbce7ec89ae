"""Media of other servers that are kept here for a while.

Rules: who wants to fetch one claims it by its row, which expires; so each is fetched by one worker at a time, and by
another one should that die.
"""

from dataclasses import dataclass

from hs_common.storage.media import Content
from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """One of another server. `sha256` is None while somebody fetches it, until `expires_ts`."""

    expires_ts: int | None
    sha256: bytes | None
    size: int
    content_type: str
    file_name: str | None
    is_public: bool
    is_quarantined: bool


async def find_remote(db: Queries, server_name: str, media_id: str) -> RemoteMedia | None:
    row = await db.fetch_one(
        """
        SELECT expires_ts, sha256, size, content_type, file_name, is_public,
               quarantined_by IS NOT NULL OR
               EXISTS (SELECT FROM media_quarantined q WHERE q.sha256 = remote_media.sha256)
          FROM remote_media WHERE server_name = %s AND media_id = %s
        """,
        (server_name, media_id),
    )
    return None if row is None else RemoteMedia(*row)


async def claim_remote(db: Queries, server_name: str, media_id: str, now_ms: int, expires_ms: int) -> bool:
    """Whether the caller is to fetch it now; False if somebody does, or has."""
    touched = await db.execute(
        """
        INSERT INTO remote_media AS known (server_name, media_id, expires_ts, fetched_ts)
        VALUES (%(server_name)s, %(media_id)s, %(expires)s, %(now)s)
            ON CONFLICT (server_name, media_id) DO UPDATE SET expires_ts = excluded.expires_ts
         WHERE known.expires_ts <= %(now)s
        """,
        {"server_name": server_name, "media_id": media_id, "expires": expires_ms, "now": now_ms},
    )
    return touched == 1


async def fill_remote(db: Queries, server_name: str, media_id: str, now_ms: int, content: Content) -> None:
    """What was fetched. Twice is the same as once: the second one finds nothing to do."""
    await db.execute(
        """
        INSERT INTO remote_media AS known
               (server_name, media_id, sha256, size, content_type, file_name, is_public, fetched_ts, accessed_ts)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (server_name, media_id) DO UPDATE
           SET expires_ts = NULL, sha256 = excluded.sha256, size = excluded.size, fetched_ts = excluded.fetched_ts,
               content_type = excluded.content_type, file_name = excluded.file_name, is_public = excluded.is_public,
               accessed_ts = excluded.accessed_ts
         WHERE known.sha256 IS NULL
        """,
        (
            *(server_name, media_id, content.sha256, content.size, content.content_type, content.file_name),
            *(content.is_public, now_ms, now_ms),
        ),
    )


async def release_remote(db: Queries, server_name: str, media_id: str, expires_ms: int) -> None:
    """It could not be fetched: whoever wants it may try again. `expires_ms` is what the claim was made with."""
    await db.execute(
        "DELETE FROM remote_media WHERE server_name = %s AND media_id = %s AND expires_ts = %s",
        (server_name, media_id, expires_ms),
    )


async def delete_remote_unused_since(db: Queries, before_ms: int, limit: int) -> list[bytes]:
    """Forgets what nobody asked for since; the digests of what is then perhaps unused. What is quarantined stays, so
    that it is not fetched again."""
    rows = await db.fetch(
        """
        DELETE FROM remote_media
         WHERE (server_name, media_id) IN (
               SELECT server_name, media_id FROM remote_media
                WHERE greatest(fetched_ts, accessed_ts) < %s AND quarantined_by IS NULL
                ORDER BY greatest(fetched_ts, accessed_ts) LIMIT %s)
        RETURNING sha256
        """,
        (before_ms, limit),
    )
    return [bytes(row[0]) for row in rows if row[0] is not None]


async def remote_bytes(db: Queries) -> int:
    row = await db.fetch_one("SELECT coalesce(sum(size), 0)::bigint FROM remote_media")
    assert row is not None
    return int(row[0])


async def moment_that_keeps(db: Queries, most_bytes: int) -> int | None:
    """Since when what was asked for takes no more than that; None if all of it does not."""
    row = await db.fetch_one(
        """
        SELECT max(used_ts) FROM (
            SELECT greatest(fetched_ts, accessed_ts) AS used_ts,
                   sum(size) OVER (ORDER BY greatest(fetched_ts, accessed_ts) DESC, server_name, media_id) AS total
              FROM remote_media WHERE quarantined_by IS NULL) kept
         WHERE total > %s
        """,
        (most_bytes,),
    )
    return None if row is None or row[0] is None else int(row[0])


async def note_remote_access(db: Queries, keys: list[tuple[str, str]], now_ms: int) -> None:
    """These were sent to somebody."""
    await db.execute(
        """
        UPDATE remote_media SET accessed_ts = %s
          FROM unnest(%s::text[], %s::text[]) AS used (server_name, media_id)
         WHERE remote_media.server_name = used.server_name AND remote_media.media_id = used.media_id
        """,
        (now_ms, [key[0] for key in keys], [key[1] for key in keys]),
    )
