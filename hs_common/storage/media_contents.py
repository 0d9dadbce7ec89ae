"""Which contents the storage of media holds: each once, under the SHA-256 of its bytes.

Rules: bytes are put in place first, and recorded together with what refers to them, in one transaction. Whoever deletes
bytes begins a deletion in the content's row, commits that, and locks the row while they go; the row stays for a while
after them. What was put in place before a deletion is not recorded, unless its writer knows of it and wrote again
since: such a writer claims the content first, which ends its deletion or waits for it. Workers from before migration
0037 always claim.
"""

from typing import Final, NamedTuple

from hs_common.storage.queries import Queries


class Claimed(NamedTuple):
    """What a writer has to know. `deletion_ts`: what was put in place before that is perhaps gone; `is_deleting`: and
    what is now, perhaps will be."""

    deletion_ts: int | None
    is_deleting: bool


# What is made of a content `blob`, but for its own thumbnails.
_USED: Final = """(
    EXISTS (SELECT FROM media WHERE media.sha256 = blob.sha256)
    OR EXISTS (SELECT FROM remote_media remote WHERE remote.sha256 = blob.sha256)
    OR EXISTS (SELECT FROM media_thumbnails t WHERE t.sha256 = blob.sha256 AND t.source <> blob.sha256))"""

# Whether there is something of a content `blob` to be deleted: not where it was, and nobody has wanted it since.
_LEFT: Final = """(
    deletion_ts IS NULL OR is_deleting OR touched_ts IS NOT NULL
    OR EXISTS (SELECT FROM media_thumbnails t WHERE t.source = blob.sha256))"""


# Keeping


async def record_content(db: Queries, sha256: bytes, size: int, accepted: int | None) -> bool:
    """Notes a content whose bytes are in place; False if they are perhaps gone since, by another deletion than the
    accepted one. What refers to it is noted in the same transaction."""
    row = await db.fetch_one("SELECT record_content(%s, %s, %s)", (sha256, size, accepted))
    assert row is not None, "a function answers one row"
    return bool(row[0])


async def claim_content(db: Queries, sha256: bytes, size: int, now_ms: int) -> Claimed:
    """Keeps a content from being deleted for a while, that somebody is about to put in place once more; waits for a
    deletion that has its bytes under way, StatementConflict if that takes too long."""
    row = await db.fetch_one(
        """
        INSERT INTO media_blobs (sha256, size, touched_ts) VALUES (%s, %s, %s)
            ON CONFLICT (sha256) DO UPDATE SET touched_ts = excluded.touched_ts
        RETURNING deletion_ts, is_deleting
        """,
        (sha256, size, now_ms),
    )
    assert row is not None
    return Claimed(*row)


async def is_kept_content(db: Queries, sha256: bytes) -> bool:
    """Whether a content is there, and not being deleted; waits for its bytes where they are just going."""
    row = await db.fetch_one("SELECT deletion_ts IS NULL FROM media_blobs WHERE sha256 = %s FOR KEY SHARE", (sha256,))
    return row is not None and bool(row[0])


async def known_contents(db: Queries, digests: list[bytes]) -> set[bytes]:
    """Those of the contents that have a row, be it one of a deletion."""
    rows = await db.fetch("SELECT sha256 FROM media_blobs WHERE sha256 = ANY(%s)", (digests,))
    return {bytes(row[0]) for row in rows}


# Deleting


async def unused_contents(db: Queries, claimed_before_ms: int, limit: int) -> list[bytes]:
    """Contents that no media and no other content's thumbnail is made of, and whose deletion has not ended."""
    rows = await db.fetch(
        f"""
        SELECT sha256 FROM media_blobs blob
         WHERE coalesce(touched_ts, 0) < %s AND NOT {_USED}
           AND {_LEFT}
         LIMIT %s
        """,
        (claimed_before_ms, limit),
    )
    return [bytes(row[0]) for row in rows]


async def note_stray(db: Queries, sha256: bytes, now_ms: int) -> int | None:
    """Begins the deletion of a content that has no row; None if it has one."""
    row = await db.fetch_one(
        """
        INSERT INTO media_blobs (sha256, size, deletion_ts, is_deleting) VALUES (%s, 0, %s, true)
            ON CONFLICT DO NOTHING RETURNING deletion_ts
        """,
        (sha256, now_ms),
    )
    return None if row is None else int(row[0])


async def lock_unclaimed(
    txn: Queries, sha256: bytes, claimed_before_ms: int, begun_before_ms: int, *, gone_too: bool
) -> bool:
    """Locks the row against everybody who would refer to the content; False if there is none, if it was claimed since,
    if somebody has begun to delete it since the second moment and has not ended, or if it is gone, unless `gone_too`:
    what was put in place and refused after that is there all the same."""
    row = await txn.fetch_one(
        f"""
        SELECT FROM media_blobs blob
         WHERE sha256 = %s AND coalesce(touched_ts, 0) < %s AND (NOT is_deleting OR deletion_ts < %s)
           AND (%s OR {_LEFT}) FOR UPDATE
        """,
        (sha256, claimed_before_ms, begun_before_ms, gone_too),
    )
    return row is not None


async def begin_deletion(txn: Queries, sha256: bytes, now_ms: int) -> int | None:
    """Notes in a locked row that its bytes are going: when, another number each time; None if something is made of it.
    A statement of its own, as it has to see what was recorded before the row was locked."""
    row = await txn.fetch_one(
        f"""
        UPDATE media_blobs blob
           SET deletion_ts = greatest(%s, deletion_ts + 1), is_deleting = true, touched_ts = NULL
         WHERE sha256 = %s AND NOT {_USED}
        RETURNING deletion_ts
        """,
        (now_ms, sha256),
    )
    return None if row is None else int(row[0])


async def lock_deletion(txn: Queries, sha256: bytes, deletion_ts: int) -> bool:
    """Locks the row, until the bytes are gone; False if it is not that deletion's any more."""
    row = await txn.fetch_one(
        "SELECT FROM media_blobs WHERE sha256 = %s AND deletion_ts = %s AND is_deleting FOR UPDATE",
        (sha256, deletion_ts),
    )
    return row is not None


async def is_wanted(txn: Queries, sha256: bytes) -> bool:
    """Whether a locked content was claimed since its deletion began, or something is made of it."""
    row = await txn.fetch_one(
        f"SELECT touched_ts IS NOT NULL OR {_USED} FROM media_blobs blob WHERE sha256 = %s", (sha256,)
    )
    return row is not None and bool(row[0])


async def delete_thumbnails(txn: Queries, source: bytes) -> None:
    """Forgets the thumbnails of a content; their own contents are then unused."""
    await txn.execute("DELETE FROM media_thumbnails WHERE source = %s", (source,))


async def end_deletion(txn: Queries, sha256: bytes) -> None:
    """The bytes are gone, or stay after all. That they were going remains noted, for those who wrote them before."""
    await txn.execute("UPDATE media_blobs SET is_deleting = false WHERE sha256 = %s", (sha256,))


async def settle_revived(db: Queries, before_ms: int) -> None:
    """What workers from before migration 0037 have claimed and recorded in spite of a deletion before that is as good
    as any other content."""
    await db.execute(
        f"""
        UPDATE media_blobs blob SET deletion_ts = NULL, is_deleting = false WHERE deletion_ts < %s AND {_USED}
        """,
        (before_ms,),
    )


async def forget_deletions(db: Queries, before_ms: int) -> int:
    """Forgets contents whose deletion began before that and has ended, and that nobody wanted since; answers how
    many."""
    return await db.execute(
        f"""
        DELETE FROM media_blobs blob
         WHERE deletion_ts < %s AND NOT is_deleting AND touched_ts IS NULL AND NOT {_USED}
           AND NOT EXISTS (SELECT FROM media_thumbnails t WHERE t.source = blob.sha256)
        """,
        (before_ms,),
    )
