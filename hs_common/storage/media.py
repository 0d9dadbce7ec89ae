"""Media of this server: what was uploaded, thumbnails, what a user's media take.

Rules: what refers to a content is noted in the statement or transaction that records the content: see `media_contents`.
"""

from dataclasses import dataclass
from enum import Enum

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


class Uploaded(Enum):
    """What became of an upload: nothing was kept of it unless it was recorded."""

    RECORDED = "recorded"
    DELETED = "deleted"
    """Its bytes are perhaps gone, by another deletion than the accepted one."""
    REFUSED = "refused"
    """Its user has no room for it, or its id is none that waits for it."""


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
            *_values(content),
        ),
    )


def _values(content: Content) -> tuple[object, ...]:
    return content.sha256, content.size, content.content_type, content.file_name, content.is_public


async def add_upload(
    db: Queries, media_id: str, user_id: str, now_ms: int, content: Content, most: int | None, accepted: int | None
) -> Uploaded:
    """What a user has uploaded, recorded and counted. `most` is what users may have who have no limit of their own;
    `accepted` is a deletion of the content after which it was put in place again."""
    row = await db.fetch_one(
        "SELECT add_upload(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (media_id, user_id, now_ms, *_values(content), most, accepted),
    )
    assert row is not None, "a function answers one row"
    return Uploaded(row[0])


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


async def fill_pending(
    db: Queries, media_id: str, now_ms: int, content: Content, most: int | None, accepted: int | None
) -> Uploaded:
    """The same under a created id; REFUSED also if that has its content, or has expired."""
    row = await db.fetch_one(
        "SELECT fill_upload(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (media_id, now_ms, *_values(content), most, accepted),
    )
    assert row is not None, "a function answers one row"
    return Uploaded(row[0])


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


async def add_thumbnail(db: Queries, key: ThumbnailKey, sha256: bytes, content_type: str) -> bool:
    """Notes it; False if there is one already, or if what it was made of was deleted meanwhile, which it waits for."""
    touched = await db.execute(
        """
        INSERT INTO media_thumbnails (source, method, width, height, animated, sha256, content_type)
        SELECT source.sha256, %s, %s, %s, %s, %s, %s
          FROM (SELECT sha256 FROM media_blobs WHERE sha256 = %s AND deletion_ts IS NULL FOR KEY SHARE) source
            ON CONFLICT DO NOTHING
        """,
        (key.method, key.width, key.height, key.animated, sha256, content_type, key.source),
    )
    return touched == 1
