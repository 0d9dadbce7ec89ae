"""Media of this server: what was uploaded, which contents the storage holds, thumbnails, what a user's media take.

Rules: a content is claimed before its bytes are put in place, and pointed at after; see the migration for why.
"""

from dataclasses import dataclass
from typing import Final

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Media:
    """One media id. `sha256` is None while nothing is uploaded; `size` in bytes."""

    media_id: str
    user_id: str
    expires_ts: int | None
    sha256: bytes | None
    size: int
    content_type: str
    file_name: str | None
    is_public: bool
    is_quarantined: bool


@dataclass(frozen=True, slots=True)
class Content:
    """What was uploaded under an id."""

    sha256: bytes
    size: int
    content_type: str
    file_name: str | None
    is_public: bool


@dataclass(frozen=True, slots=True)
class StoredThumbnail:
    """A thumbnail's own content. `size` in bytes."""

    sha256: bytes
    size: int
    content_type: str


@dataclass(frozen=True, slots=True)
class ThumbnailKey:
    """Which thumbnail of a content: as it was asked for, rounded."""

    source: bytes
    method: str
    width: int
    height: int
    animated: bool


# Ids


async def find_media(db: Queries, media_id: str) -> Media | None:
    row = await db.fetch_one(
        """
        SELECT media_id, user_id, expires_ts, sha256, size, content_type, file_name, is_public,
               quarantined_by IS NOT NULL OR NOT is_protected AND
               EXISTS (SELECT FROM media_quarantined q WHERE q.sha256 = media.sha256)
          FROM media WHERE media_id = %s
        """,
        (media_id,),
    )
    return None if row is None else Media(*row)


async def add_media(db: Queries, media_id: str, user_id: str, now_ms: int, content: Content) -> None:
    """Media of nobody in particular: they count for nobody."""
    await db.execute(
        """
        INSERT INTO media (media_id, user_id, created_ts, sha256, size, content_type, file_name, is_public)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            *(media_id, user_id, now_ms),
            *(content.sha256, content.size, content.content_type, content.file_name, content.is_public),
        ),
    )


async def add_upload(db: Queries, media_id: str, user_id: str, now_ms: int, content: Content, most: int | None) -> bool:
    """What a user has uploaded, counted; False, and nothing is kept, if that is more than he may have. `most` is what
    users may have who have no limit of their own."""
    touched = await db.execute(
        f"""
        WITH uploader AS (SELECT %(user_id)s::text AS user_id), counted AS ({_COUNTED})
        INSERT INTO media (media_id, user_id, created_ts, sha256, size, content_type, file_name, is_public)
        SELECT %(media_id)s, user_id, %(now)s, %(sha256)s, %(size)s, %(content_type)s, %(file_name)s, %(is_public)s
          FROM counted
        """,
        {**_uploaded(content, most), "media_id": media_id, "user_id": user_id, "now": now_ms},
    )
    return touched == 1


async def add_pending(db: Queries, media_id: str, user_id: str, now_ms: int, expires_ms: int, most: int) -> bool:
    """An id whose content comes later; False if the user has `most` of those."""
    touched = await db.execute(
        """
        INSERT INTO media (media_id, user_id, created_ts, expires_ts)
        SELECT %(media_id)s, %(user_id)s, %(now)s, %(expires)s
         WHERE (SELECT count(*) FROM media WHERE user_id = %(user_id)s AND expires_ts > %(now)s) < %(most)s
        """,
        {"media_id": media_id, "user_id": user_id, "now": now_ms, "expires": expires_ms, "most": most},
    )
    return touched == 1


async def fill_pending(db: Queries, media_id: str, now_ms: int, content: Content, most: int | None) -> bool:
    """Gives a created id its content, and counts that for its user; False, and nothing is kept, if it has one, has
    expired, or if that is more than the user may have."""
    touched = await db.execute(
        f"""
        WITH uploader AS (
            SELECT user_id FROM media WHERE media_id = %(media_id)s AND expires_ts > %(now)s FOR UPDATE),
        counted AS ({_COUNTED})
        UPDATE media
           SET sha256 = %(sha256)s, size = %(size)s, content_type = %(content_type)s, file_name = %(file_name)s,
               is_public = %(is_public)s, expires_ts = NULL
          FROM counted WHERE media_id = %(media_id)s AND expires_ts > %(now)s
        """,
        {**_uploaded(content, most), "media_id": media_id, "now": now_ms},
    )
    return touched == 1


async def delete_expired(db: Queries, before_ms: int) -> int:
    """Forgets ids that were created and never used; answers how many."""
    return await db.execute("DELETE FROM media WHERE expires_ts <= %s", (before_ms,))


# What a user's media take


async def has_room(db: Queries, user_id: str, size: int, most: int | None) -> bool:
    """Whether the user may have so many bytes more; `most` is what users may have who have no limit of their own."""
    row = await db.fetch_one(
        """
        SELECT bytes + %(size)s <= coalesce(most_bytes, %(most)s::bigint) FROM media_usage WHERE user_id = %(user_id)s
        """,
        {"user_id": user_id, "size": size, "most": most},
    )
    if row is None:
        return most is None or size <= most
    return row[0] is not False


# Counts one more of the uploader's media: no row, and nothing is counted, if that is more than he may have.
_COUNTED: Final = """
    INSERT INTO media_usage AS used (user_id, bytes, count)
    SELECT user_id, %(size)s, 1 FROM uploader
     WHERE %(most)s::bigint IS NULL OR %(size)s <= %(most)s::bigint
        OR EXISTS (SELECT FROM media_usage known WHERE known.user_id = uploader.user_id AND most_bytes IS NOT NULL)
        ON CONFLICT (user_id) DO UPDATE SET bytes = used.bytes + excluded.bytes, count = used.count + 1
     WHERE (used.bytes + excluded.bytes <= coalesce(used.most_bytes, %(most)s::bigint)) IS NOT FALSE
    RETURNING user_id"""


def _uploaded(content: Content, most: int | None) -> dict[str, object]:
    return {
        "sha256": content.sha256,
        "size": content.size,
        "content_type": content.content_type,
        "file_name": content.file_name,
        "is_public": content.is_public,
        "most": most,
    }


# Contents


# A claim that a crash of the database loses is one of a content that was not recorded either: the record's own commit
# makes what was written before it durable too. So it does not wait for the disk.
_UNFORCED: Final = "SET LOCAL synchronous_commit TO off;"


async def claim_blob(db: Queries, sha256: bytes, size: int, now_ms: int) -> None:
    """Keeps sweepers off a content that is about to be put in place; waits for one that is at it."""
    await db.execute(
        f"""{_UNFORCED}
        INSERT INTO media_blobs (sha256, size, touched_ts) VALUES (%s, %s, %s)
            ON CONFLICT (sha256) DO UPDATE SET touched_ts = excluded.touched_ts
        """,
        (sha256, size, now_ms),
    )


async def claim_upload(db: Queries, sha256: bytes, size: int, now_ms: int, user_id: str, most: int | None) -> bool:
    """The same for an upload of a user; False, and it is not claimed, if he has no room for it."""
    touched = await db.execute(
        f"""{_UNFORCED}
        INSERT INTO media_blobs (sha256, size, touched_ts)
        SELECT %(sha256)s, %(size)s, %(now)s
         WHERE coalesce((SELECT (bytes + %(size)s <= coalesce(most_bytes, %(most)s::bigint)) IS NOT FALSE
                           FROM media_usage WHERE user_id = %(user_id)s),
                        (%(size)s <= %(most)s::bigint) IS NOT FALSE)
            ON CONFLICT (sha256) DO UPDATE SET touched_ts = excluded.touched_ts
        """,
        {"sha256": sha256, "size": size, "now": now_ms, "user_id": user_id, "most": most},
    )
    return touched == 1


async def unused_blobs(db: Queries, touched_before_ms: int, limit: int) -> list[bytes]:
    """Contents that no media and no other content's thumbnail is made of."""
    rows = await db.fetch(
        """
        SELECT sha256 FROM media_blobs blob
         WHERE touched_ts < %s
           AND NOT EXISTS (SELECT FROM media WHERE media.sha256 = blob.sha256)
           AND NOT EXISTS (SELECT FROM remote_media remote WHERE remote.sha256 = blob.sha256)
           AND NOT EXISTS (SELECT FROM media_thumbnails t WHERE t.sha256 = blob.sha256 AND t.source <> blob.sha256)
         LIMIT %s
        """,
        (touched_before_ms, limit),
    )
    return [bytes(row[0]) for row in rows]


async def delete_thumbnails(db: Queries, source: bytes) -> None:
    """Forgets the thumbnails of a content; their own contents are then unused."""
    await db.execute("DELETE FROM media_thumbnails WHERE source = %s", (source,))


async def delete_blob(db: Queries, sha256: bytes, touched_before_ms: int) -> bool:
    """Forgets a content that was not claimed since; False if it was. StatementRefused if something is made of it.

    The row is locked until the transaction ends, and so are uploads of the same content.
    """
    touched = await db.execute(
        "DELETE FROM media_blobs WHERE sha256 = %s AND touched_ts < %s", (sha256, touched_before_ms)
    )
    return touched == 1


async def add_stray(db: Queries, sha256: bytes) -> bool:
    """Notes a content that was found in the storage, as one that may be swept at once; False if it is known."""
    touched = await db.execute(
        "INSERT INTO media_blobs (sha256, size, touched_ts) VALUES (%s, 0, 0) ON CONFLICT DO NOTHING", (sha256,)
    )
    return touched == 1


async def is_known_blob(db: Queries, sha256: bytes) -> bool:
    """Whether a content has a row; waits for a sweeper that is just deleting it."""
    return await db.fetch_one("SELECT FROM media_blobs WHERE sha256 = %s FOR KEY SHARE", (sha256,)) is not None


async def known_blobs(db: Queries, digests: list[bytes]) -> set[bytes]:
    """Those of the contents that have a row."""
    rows = await db.fetch("SELECT sha256 FROM media_blobs WHERE sha256 = ANY(%s)", (digests,))
    return {bytes(row[0]) for row in rows}


# Thumbnails


async def thumbnail_contents(db: Queries, source: bytes) -> list[bytes]:
    """The contents of thumbnails that were made of a content."""
    rows = await db.fetch("SELECT DISTINCT sha256 FROM media_thumbnails WHERE source = %s", (source,))
    return [bytes(row[0]) for row in rows]


async def find_thumbnail(db: Queries, key: ThumbnailKey) -> StoredThumbnail | None:
    row = await db.fetch_one(
        """
        SELECT sha256, blob.size, t.content_type FROM media_thumbnails t JOIN media_blobs blob USING (sha256)
         WHERE source = %s AND method = %s AND width = %s AND height = %s AND animated = %s
        """,
        (key.source, key.method, key.width, key.height, key.animated),
    )
    return None if row is None else StoredThumbnail(bytes(row[0]), row[1], row[2])


async def count_thumbnails(db: Queries, source: bytes) -> int:
    row = await db.fetch_one("SELECT count(*) FROM media_thumbnails WHERE source = %s", (source,))
    assert row is not None
    return int(row[0])


async def add_thumbnail(db: Queries, key: ThumbnailKey, sha256: bytes, content_type: str) -> None:
    await db.execute(
        """
        INSERT INTO media_thumbnails (source, method, width, height, animated, sha256, content_type)
        VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (key.source, key.method, key.width, key.height, key.animated, sha256, content_type),
    )
