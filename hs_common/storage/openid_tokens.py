"""OpenID tokens, known by SHA-256 digest only. Written by whichever worker is asked for one; never cached."""

from hs_common.storage.queries import Queries


async def add_openid_token(db: Queries, token_hash: bytes, user_id: str, expires_at_ms: int) -> None:
    await db.execute(
        "INSERT INTO openid_tokens (token_hash, user_id, expires_at_ms) VALUES (%s, %s, %s)",
        (token_hash, user_id, expires_at_ms),
    )


async def openid_user(db: Queries, token_hash: bytes, now_ms: int) -> str | None:
    """Who proves himself by the token; None if it is unknown or expired, or its user locked or gone."""
    row = await db.fetch_one(
        """
        SELECT user_id
          FROM openid_tokens JOIN users USING (user_id)
         WHERE token_hash = %s AND expires_at_ms > %s AND NOT users.deactivated AND NOT users.locked
        """,
        (token_hash, now_ms),
    )
    return None if row is None else str(row[0])


async def delete_expired_openid_tokens(db: Queries, now_ms: int) -> int:
    """How many there were."""
    return await db.execute("DELETE FROM openid_tokens WHERE expires_at_ms <= %s", (now_ms,))
