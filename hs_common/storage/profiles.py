"""Profile fields of local users. Written by the master alone. Values are JSON, as text."""

from hs_common.storage.queries import Queries


async def profile(db: Queries, user_id: str) -> dict[str, str]:
    """All fields of a profile."""
    rows = await db.fetch("SELECT field, value FROM profiles WHERE user_id = %s ORDER BY field", (user_id,))
    return dict(rows)


async def profile_field(db: Queries, user_id: str, field: str) -> str | None:
    row = await db.fetch_one("SELECT value FROM profiles WHERE user_id = %s AND field = %s", (user_id, field))
    return None if row is None else str(row[0])
