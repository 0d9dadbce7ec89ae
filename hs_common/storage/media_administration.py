"""What operators see of media, and which of them they take out of circulation."""

from dataclasses import dataclass
from typing import Any, Final

from hs_common.storage.queries import Queries, Row

ORDERS: Final[dict[str, str]] = {
    "media_id": "media_id",
    "created_ts": "created_ts",
    "last_access_ts": "accessed_ts",
    "media_length": "size",
    "media_type": "content_type",
    "upload_name": "file_name",
    "quarantined_by": "quarantined_by",
    "safe_from_quarantine": "is_protected",
}
STATISTICS_ORDERS: Final[dict[str, str]] = {
    "media_length": "bytes",
    "media_count": "count",
    "user_id": "user_id",
    "displayname": "displayname",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A medium of this server, as an operator sees it. Times in ms; `last_access_ts` 0: never."""

    media_id: str
    user_id: str
    created_ts: int
    last_access_ts: int
    size: int
    content_type: str
    file_name: str | None
    sha256: bytes
    quarantined_by: str | None
    is_protected: bool


_LISTED: Final = (
    "media_id, user_id, created_ts, accessed_ts, size, content_type, file_name, sha256,"
    " coalesce(quarantined_by, (SELECT q.quarantined_by FROM media_quarantined q"
    " WHERE q.sha256 = media.sha256 AND NOT media.is_protected)) AS quarantined_by, is_protected"
)


def _listed(row: Row) -> Listed:
    values = [*row]
    values[7] = bytes(values[7])
    return Listed(*values)


async def find_listed(db: Queries, media_id: str) -> Listed | None:
    row = await db.fetch_one(f"SELECT {_LISTED} FROM media WHERE media_id = %s AND sha256 IS NOT NULL", (media_id,))
    return None if row is None else _listed(row)


async def media_of_user(
    db: Queries, user_id: str, order: str, *, forwards: bool, offset: int, limit: int
) -> list[Listed]:
    """A page of a user's media. `order` is one of `ORDERS`' keys."""
    direction = "ASC" if forwards else "DESC"
    rows = await db.fetch(
        f"SELECT {_LISTED} FROM media WHERE user_id = %s AND sha256 IS NOT NULL"
        f" ORDER BY {ORDERS[order]} {direction} NULLS FIRST, media_id LIMIT %s OFFSET %s",
        (user_id, limit, offset),
    )
    return [_listed(row) for row in rows]


async def count_media_of_user(db: Queries, user_id: str) -> int:
    row = await db.fetch_one("SELECT count(*) FROM media WHERE user_id = %s AND sha256 IS NOT NULL", (user_id,))
    assert row is not None
    return int(row[0])


async def find_remote_content(db: Queries, server_name: str, media_id: str) -> Row | None:
    """sha256, size, content_type, file_name, fetched_ts, accessed_ts, quarantined_by."""
    return await db.fetch_one(
        """
        SELECT sha256, size, content_type, file_name, fetched_ts, accessed_ts, quarantined_by
          FROM remote_media WHERE server_name = %s AND media_id = %s
        """,
        (server_name, media_id),
    )


# Quarantine


async def quarantine(db: Queries, media_ids: list[str], by: str | None) -> list[bytes]:
    """Takes media of this server out of circulation, or with None back into it; the digests of those that were touched.
    Protected ones are not touched."""
    rows = await db.fetch(
        """
        UPDATE media SET quarantined_by = %s WHERE media_id = ANY(%s) AND NOT is_protected RETURNING sha256
        """,
        (by, media_ids),
    )
    return [bytes(row[0]) for row in rows if row[0] is not None]


async def quarantine_user(db: Queries, user_id: str, by: str) -> list[bytes]:
    """All of a user's that are not yet."""
    rows = await db.fetch(
        """
        UPDATE media SET quarantined_by = %s
         WHERE user_id = %s AND quarantined_by IS NULL AND NOT is_protected AND sha256 IS NOT NULL
        RETURNING sha256
        """,
        (by, user_id),
    )
    return [bytes(row[0]) for row in rows]


async def quarantine_remote(db: Queries, keys: list[tuple[str, str]], by: str | None) -> list[bytes]:
    """The same with media of other servers, as far as they are kept here."""
    rows = await db.fetch(
        """
        UPDATE remote_media SET quarantined_by = %s
          FROM unnest(%s::text[], %s::text[]) AS named (server_name, media_id)
         WHERE remote_media.server_name = named.server_name AND remote_media.media_id = named.media_id
           AND sha256 IS NOT NULL
        RETURNING sha256
        """,
        (by, [key[0] for key in keys], [key[1] for key in keys]),
    )
    return [bytes(row[0]) for row in rows]


async def quarantine_contents(db: Queries, digests: list[bytes], by: str, now_ms: int) -> None:
    """Nobody gets these bytes any more, under whatever id."""
    await db.execute(
        """
        INSERT INTO media_quarantined (sha256, quarantined_by, quarantined_ts)
        SELECT sha256, %s, %s FROM unnest(%s::bytea[]) AS sha256 ON CONFLICT DO NOTHING
        """,
        (by, now_ms, digests),
    )


async def release_contents(db: Queries, digests: list[bytes]) -> int:
    return await db.execute("DELETE FROM media_quarantined WHERE sha256 = ANY(%s)", (digests,))


async def protect(db: Queries, media_id: str, protected: bool) -> bool:
    """Whether there is such a medium."""
    touched = await db.execute("UPDATE media SET is_protected = %s WHERE media_id = %s", (protected, media_id))
    return touched == 1


# What media take


async def delete_remote(db: Queries, server_name: str, media_id: str) -> Row | None:
    """Forgets a medium of another server; a row with its digest, None if it is not kept."""
    return await db.fetch_one(
        "DELETE FROM remote_media WHERE server_name = %s AND media_id = %s RETURNING sha256", (server_name, media_id)
    )


async def set_most_bytes(db: Queries, user_id: str, most_bytes: int | None) -> None:
    """A limit for one user; None: the configured one."""
    await db.execute(
        """
        INSERT INTO media_usage (user_id, bytes, count, most_bytes) VALUES (%(user_id)s, 0, 0, %(most)s)
            ON CONFLICT (user_id) DO UPDATE SET most_bytes = excluded.most_bytes
        """,
        {"user_id": user_id, "most": most_bytes},
    )


async def find_usage(db: Queries, user_id: str) -> Row | None:
    """bytes, count, most_bytes."""
    return await db.fetch_one("SELECT bytes, count, most_bytes FROM media_usage WHERE user_id = %s", (user_id,))


async def stored_bytes(db: Queries) -> int:
    """What all contents take."""
    row = await db.fetch_one("SELECT coalesce(sum(size), 0)::bigint FROM media_blobs WHERE deletion_ts IS NULL")
    assert row is not None
    return int(row[0])


async def totals(db: Queries) -> dict[str, Any]:
    """What there is, by kind."""
    row = await db.fetch_one(
        """
        SELECT (SELECT count(*) FROM media WHERE sha256 IS NOT NULL),
               (SELECT coalesce(sum(size), 0)::bigint FROM media),
               (SELECT count(*) FROM remote_media WHERE sha256 IS NOT NULL),
               (SELECT coalesce(sum(size), 0)::bigint FROM remote_media),
               (SELECT count(*) FROM media_thumbnails),
               (SELECT count(*) FROM media_blobs WHERE deletion_ts IS NULL),
               (SELECT coalesce(sum(size), 0)::bigint FROM media_blobs WHERE deletion_ts IS NULL),
               (SELECT count(*) FROM media_quarantined),
               (SELECT count(*) FROM url_previews)
        """
    )
    assert row is not None
    names = ("local", "local_bytes", "remote", "remote_bytes", "thumbnails", "contents", "stored_bytes")
    return dict(zip((*names, "quarantined_contents", "previews"), row, strict=True))


async def usage_statistics(
    db: Queries,
    order: str,
    *,
    forwards: bool,
    offset: int,
    limit: int,
    from_ts: int,
    until_ts: int | None,
    search: str | None,
) -> list[Row]:
    """user_id, displayname (JSON), count, bytes, and how many such users there are; of media uploaded in that time."""
    direction = "ASC" if forwards else "DESC"
    return await db.fetch(
        f"""
        SELECT user_id, displayname, count, bytes, count(*) OVER ()
          FROM (SELECT media.user_id, profile.value AS displayname, count(*) AS count, sum(size)::bigint AS bytes
                  FROM media
                  LEFT JOIN profiles profile ON profile.user_id = media.user_id AND profile.field = 'displayname'
                 WHERE media.user_id <> '' AND sha256 IS NOT NULL AND created_ts >= %(from_ts)s
                   AND (%(until_ts)s::bigint IS NULL OR created_ts <= %(until_ts)s)
                   AND (%(search)s::text IS NULL OR strpos(lower(media.user_id), lower(%(search)s)) > 0
                        OR strpos(lower(profile.value), lower(%(search)s)) > 0)
                 GROUP BY media.user_id, profile.value) of_user
         ORDER BY {STATISTICS_ORDERS[order]} {direction} NULLS FIRST, user_id LIMIT %(limit)s OFFSET %(offset)s
        """,
        {"from_ts": from_ts, "until_ts": until_ts, "search": search, "limit": limit, "offset": offset},
    )


# Where media are used


async def events_with_media(db: Queries, room_id: str, after: tuple[int, int], limit: int) -> list[Row]:
    """order_pos, order_sub and JSON of a room's next events that name any media."""
    return await db.fetch(
        """
        SELECT t.order_pos, t.order_sub, e.json FROM timeline t JOIN events e USING (event_id)
         WHERE t.room_id = %s AND (t.order_pos, t.order_sub) > (%s, %s) AND e.json LIKE '%%mxc://%%'
         ORDER BY t.order_pos, t.order_sub LIMIT %s
        """,
        (room_id, *after, limit),
    )


async def profile_pictures(db: Queries) -> list[str]:
    """JSON of all avatars of users."""
    return [row[0] for row in await db.fetch("SELECT value FROM profiles WHERE field = 'avatar_url'")]


async def room_pictures(db: Queries) -> list[str]:
    """JSON of the events of all rooms' present avatars."""
    rows = await db.fetch(
        """
        SELECT e.json FROM state s JOIN events e USING (event_id)
         WHERE s.type = 'm.room.avatar' AND s.state_key = '' AND s.to_pos = 9223372036854775807
        """
    )
    return [row[0] for row in rows]
