"""Who may replace his cross-signing keys, because he said so to the authentication service. Never cached."""

from hs_common.storage.queries import Queries


async def allow_reset(db: Queries, user_id: str, until_ms: int) -> None:
    await db.execute(
        """
        INSERT INTO cross_signing_resets (user_id, until_ms) VALUES (%s, %s)
            ON CONFLICT (user_id) DO UPDATE SET until_ms = excluded.until_ms
        """,
        (user_id, until_ms),
    )


async def take_reset(db: Queries, user_id: str, now_ms: int) -> bool:
    """Whether he may now; once."""
    row = await db.fetch_one("DELETE FROM cross_signing_resets WHERE user_id = %s RETURNING until_ms", (user_id,))
    return row is not None and row[0] > now_ms
