"""The end of local media: by age, by an operator, by their user. What a user's media take is counted down with them."""

from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Deleted:
    """A medium that is gone, and the content that is then perhaps unused."""

    media_id: str
    sha256: bytes | None


async def delete_media(db: Queries, media_ids: list[str]) -> list[Deleted]:
    """Forgets them."""
    rows = await db.fetch(
        """
        WITH gone AS (DELETE FROM media WHERE media_id = ANY(%s) RETURNING media_id, user_id, size, sha256),
             less AS (
                 UPDATE media_usage used SET bytes = used.bytes - of_user.bytes, count = used.count - of_user.count
                   FROM (SELECT user_id, sum(size) AS bytes, count(*) AS count FROM gone
                          WHERE sha256 IS NOT NULL GROUP BY user_id) of_user
                  WHERE used.user_id = of_user.user_id)
        SELECT media_id, sha256 FROM gone
        """,
        (media_ids,),
    )
    return [Deleted(row[0], None if row[1] is None else bytes(row[1])) for row in rows]


async def find_unused_since(db: Queries, before_ms: int, larger_than: int, limit: int) -> list[str]:
    """Media of users that were neither uploaded nor sent to anybody since. What an operator has protected or
    quarantined is not among them."""
    rows = await db.fetch(
        """
        SELECT media_id FROM media
         WHERE created_ts < %(before)s AND accessed_ts < %(before)s AND size > %(larger_than)s AND sha256 IS NOT NULL
           AND user_id <> '' AND NOT is_protected AND quarantined_by IS NULL
         ORDER BY created_ts LIMIT %(limit)s
        """,
        {"before": before_ms, "larger_than": larger_than, "limit": limit},
    )
    return [row[0] for row in rows]


async def note_access(db: Queries, media_ids: list[str], now_ms: int) -> None:
    """These were sent to somebody."""
    await db.execute("UPDATE media SET accessed_ts = %s WHERE media_id = ANY(%s)", (now_ms, media_ids))
