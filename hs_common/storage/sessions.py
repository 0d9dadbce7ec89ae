"""Refresh tokens, which the master writes, and login tokens, which workers do. All are known by SHA-256 digest only."""

from hs_common.storage.queries import Queries, Row


async def account_of_refresh_token(db: Queries, token_hash: bytes) -> Row | None:
    """(user_id, expires_at_ms, locked) of a refresh token, or None."""
    return await db.fetch_one(
        """
        SELECT user_id, expires_at_ms, locked
          FROM refresh_tokens JOIN users USING (user_id)
         WHERE token_hash = %s
        """,
        (token_hash,),
    )


async def awaits_confirmation(db: Queries, token_hash: bytes) -> str | None:
    """Whose access token this is, if it came from a refresh whose old refresh token is still there."""
    row = await db.fetch_one(
        """
        SELECT access_tokens.user_id
          FROM access_tokens JOIN refresh_tokens ON refresh_tokens.next_hash = access_tokens.refresh_hash
         WHERE access_tokens.token_hash = %s
        """,
        (token_hash,),
    )
    return None if row is None else str(row[0])


async def devices_with_tokens(db: Queries, user_id: str) -> set[str]:
    """The user's devices that have an access token of this server."""
    rows = await db.fetch(
        "SELECT DISTINCT device_id FROM access_tokens WHERE user_id = %s AND device_id IS NOT NULL", (user_id,)
    )
    return {row[0] for row in rows}


async def add_login_token(db: Queries, token_hash: bytes, user_id: str, expires_at_ms: int) -> None:
    await db.execute(
        "INSERT INTO login_tokens (token_hash, user_id, expires_at_ms) VALUES (%s, %s, %s)",
        (token_hash, user_id, expires_at_ms),
    )


async def take_login_token(db: Queries, token_hash: bytes, now_ms: int) -> str | None:
    """The user whom a login token belongs to, or None if it is unknown or expired. It is good only once."""
    row = await db.fetch_one(
        "DELETE FROM login_tokens WHERE token_hash = %s RETURNING user_id, expires_at_ms", (token_hash,)
    )
    return row[0] if row is not None and row[1] > now_ms else None


async def delete_expired_login_tokens(db: Queries, now_ms: int) -> int:
    """How many there were."""
    return await db.execute("DELETE FROM login_tokens WHERE expires_at_ms <= %s", (now_ms,))
