"""What pages told of themselves, for all media workers. Their pictures are media of nobody (user id '')."""

from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """`preview` is JSON: an object, or null for a page that could not be had."""

    preview: str
    expires_ts: int


async def find_preview(db: Queries, url_hash: bytes) -> StoredPreview | None:
    row = await db.fetch_one("SELECT preview, expires_ts FROM url_previews WHERE url_hash = %s", (url_hash,))
    return None if row is None else StoredPreview(*row)


async def put_preview(
    db: Queries, url_hash: bytes, url: str, now_ms: int, stored: StoredPreview, media_id: str | None
) -> None:
    await db.execute(
        """
        INSERT INTO url_previews (url_hash, url, fetched_ts, expires_ts, preview, media_id)
        VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (url_hash) DO UPDATE
           SET fetched_ts = excluded.fetched_ts, expires_ts = excluded.expires_ts, preview = excluded.preview,
               media_id = excluded.media_id
        """,
        (url_hash, url, now_ms, stored.expires_ts, stored.preview, media_id),
    )


async def delete_expired_previews(db: Queries, before_ms: int) -> int:
    return await db.execute("DELETE FROM url_previews WHERE expires_ts <= %s", (before_ms,))


async def delete_superfluous_previews(db: Queries, most: int) -> int:
    """The oldest, so that `most` stay."""
    return await db.execute(
        """
        DELETE FROM url_previews
         WHERE url_hash IN (SELECT url_hash FROM url_previews ORDER BY expires_ts DESC OFFSET %s)
        """,
        (most,),
    )


async def delete_pictures_without_preview(db: Queries, created_before_ms: int) -> int:
    return await db.execute(
        """
        DELETE FROM media
         WHERE user_id = '' AND created_ts < %s
           AND NOT EXISTS (SELECT FROM url_previews p WHERE p.media_id = media.media_id)
        """,
        (created_before_ms,),
    )
