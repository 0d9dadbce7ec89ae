"""Who an access token belongs to: the one question that every authenticated request asks."""

from hs_common.storage.queries import Queries, Row


async def account_of_token(db: Queries, token_hash: bytes) -> Row | None:
    """(user_id, device_id, expires_at_ms, is_guest, admin, locked, suspended, deactivated, appservice_id, consent,
    opened_by) of the token with this SHA-256 digest, or None.

    A token that an administrator acts as somebody by is good as long as he is one who may act at all.
    """
    return await db.fetch_one(
        """
        SELECT user_id, device_id, expires_at_ms, is_guest, admin, locked, suspended, deactivated, appservice_id,
               consent, opened_by
          FROM access_tokens JOIN users USING (user_id)
         WHERE token_hash = %s
           AND (opened_by IS NULL OR EXISTS (
                SELECT FROM users AS opener
                 WHERE opener.user_id = opened_by AND opener.admin
                   AND NOT (opener.locked OR opener.suspended OR opener.deactivated)))
        """,
        (token_hash,),
    )
