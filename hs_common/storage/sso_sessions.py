"""Browsers on their way to an identity provider and back. Written by whichever worker got the request; never cached."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class SsoSession:
    """A row. Either `redirect_url` or `uia_session_id` says what it is for; `subject` is None until the provider has
    answered, `user_id` until it is known whose account it is."""

    cookie_hash: bytes
    state_hash: bytes
    provider_id: str
    nonce: str
    code_verifier: str
    redirect_url: str | None
    uia_session_id: str | None
    made_ms: int
    subject: str | None = None
    user_id: str | None = None
    details: dict[str, Any] | None = None


async def add_sso_session(db: Queries, session: SsoSession) -> None:
    await db.execute(
        """
        INSERT INTO sso_sessions (cookie_hash, state_hash, provider_id, nonce, code_verifier, redirect_url,
                                  uia_session_id, made_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            session.cookie_hash,
            session.state_hash,
            session.provider_id,
            session.nonce,
            session.code_verifier,
            session.redirect_url,
            session.uia_session_id,
            session.made_ms,
        ),
    )


async def sso_session(db: Queries, cookie_hash: bytes, made_after_ms: int) -> SsoSession | None:
    """The browser's session, unless it is older than that."""
    row = await db.fetch_one(
        """
        SELECT cookie_hash, state_hash, provider_id, nonce, code_verifier, redirect_url, uia_session_id, made_ms,
               subject, user_id, details
          FROM sso_sessions
         WHERE cookie_hash = %s AND made_ms > %s
        """,
        (cookie_hash, made_after_ms),
    )
    if row is None:
        return None
    return replace(SsoSession(bytes(row[0]), bytes(row[1]), *row[2:10]), details=orjson.loads(row[10]))


async def take_answer(db: Queries, cookie_hash: bytes, state_hash: bytes, made_after_ms: int) -> SsoSession | None:
    """The session to which a provider's answer with that state belongs. Its state is used up."""
    row = await db.fetch_one(
        """
        UPDATE sso_sessions
           SET state_hash = ''
         WHERE cookie_hash = %s AND state_hash = %s AND made_ms > %s
        RETURNING cookie_hash, provider_id, nonce, code_verifier, redirect_url, uia_session_id, made_ms
        """,
        (cookie_hash, state_hash, made_after_ms),
    )
    return None if row is None else SsoSession(bytes(row[0]), b"", *row[1:])


async def note_subject(db: Queries, session: SsoSession) -> None:
    """What the provider said, and whose account that is, if anybody's."""
    await db.execute(
        "UPDATE sso_sessions SET subject = %s, user_id = %s, details = %s WHERE cookie_hash = %s",
        (session.subject, session.user_id, orjson.dumps(session.details or {}).decode(), session.cookie_hash),
    )


async def delete_sso_session(db: Queries, cookie_hash: bytes) -> bool:
    """Whether it was there."""
    return await db.execute("DELETE FROM sso_sessions WHERE cookie_hash = %s", (cookie_hash,)) == 1


async def delete_old_sso_sessions(db: Queries, made_before_ms: int) -> int:
    """How many there were."""
    return await db.execute("DELETE FROM sso_sessions WHERE made_ms <= %s", (made_before_ms,))
