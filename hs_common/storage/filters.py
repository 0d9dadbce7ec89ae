"""The filters that users defined. The id is a hash of the filter, so defining one again changes nothing."""

from hs_common.storage.queries import Queries


async def add_filter(db: Queries, user_id: str, filter_id: str, json: str) -> None:
    await db.execute(
        "INSERT INTO filters (user_id, filter_id, json) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (user_id, filter_id, json),
    )


async def filter_json(db: Queries, user_id: str, filter_id: str) -> str | None:
    """The filter as its user uploaded it, or None."""
    row = await db.fetch_one("SELECT json FROM filters WHERE user_id = %s AND filter_id = %s", (user_id, filter_id))
    return None if row is None else str(row[0])


async def count_filters(db: Queries, user_id: str) -> int:
    row = await db.fetch_one("SELECT count(*) FROM filters WHERE user_id = %s", (user_id,))
    assert row is not None
    return int(row[0])
