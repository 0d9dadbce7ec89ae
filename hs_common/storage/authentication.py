"""Who an access token belongs to: the one question that every authenticated request asks."""

from hs_common.storage.queries import Queries, Row


async def account_of_token(db: Queries, token_hash: bytes) -> Row | None:
    """(user_id, device_id, expires_at_ms, is_guest, admin, locked, suspended, deactivated, appservice_id, consent) of
    the token with this SHA-256 digest, or None."""
    return await db.fetch_one(
        """
        SELECT user_id, device_id, expires_at_ms, is_guest, admin, locked, suspended, deactivated, appservice_id,
               consent
          FROM access_tokens JOIN users USING (user_id)
         WHERE token_hash = %s
        """,
        (token_hash,),
    )
