"""Sessions in which somebody shows that he reads what is sent to a third-party identifier. Secrets and tokens are kept
as SHA-256 digests. Written by whichever worker got the request; never cached.
"""

from dataclasses import dataclass

from hs_common.storage.queries import Queries

TOKENS_KEPT = 5
"""Links of older messages end; nobody opens so many."""


@dataclass(frozen=True, slots=True)
class ValidationSession:
    """A row."""

    session_id: str
    purpose: str
    medium: str
    address: str
    send_attempt: int
    next_link: str | None
    sent_ms: int
    validated_at_ms: int | None


_COLUMNS = "session_id, purpose, medium, address, send_attempt, next_link, sent_ms, validated_at_ms"


async def begun_session(
    db: Queries, purpose: str, medium: str, address: str, secret_hash: bytes
) -> ValidationSession | None:
    """The session for this identifier and secret, if one was begun."""
    row = await db.fetch_one(
        f"""
        SELECT {_COLUMNS}
          FROM threepid_sessions
         WHERE purpose = %s AND medium = %s AND address = %s AND secret_hash = %s
        """,
        (purpose, medium, address, secret_hash),
    )
    return None if row is None else ValidationSession(*row)


async def validation_session(db: Queries, session_id: str, secret_hash: bytes) -> ValidationSession | None:
    """The session, for who knows its secret."""
    row = await db.fetch_one(
        f"SELECT {_COLUMNS} FROM threepid_sessions WHERE session_id = %s AND secret_hash = %s",
        (session_id, secret_hash),
    )
    return None if row is None else ValidationSession(*row)


async def claim_attempt(db: Queries, session: ValidationSession, secret_hash: bytes, token_hash: bytes) -> str | None:
    """A message with that token is about to be sent, by whoever asks for this attempt first: begins the session, or
    goes on with one that was begun. Its id; None if another request has this attempt, or a later one."""
    row = await db.fetch_one(
        """
        INSERT INTO threepid_sessions AS old
               (session_id, purpose, medium, address, secret_hash, send_attempt, next_link, token_hashes, sent_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, ARRAY[%s::bytea], %s)
            ON CONFLICT (purpose, medium, address, secret_hash) DO UPDATE
           SET send_attempt = excluded.send_attempt,
               next_link = excluded.next_link,
               token_hashes = (excluded.token_hashes || old.token_hashes)[:%s],
               sent_ms = excluded.sent_ms
         WHERE old.send_attempt < excluded.send_attempt
        RETURNING session_id
        """,
        (
            session.session_id,
            session.purpose,
            session.medium,
            session.address,
            secret_hash,
            session.send_attempt,
            session.next_link,
            token_hash,
            session.sent_ms,
            TOKENS_KEPT,
        ),
    )
    return None if row is None else str(row[0])


async def give_attempt_back(db: Queries, session_id: str, send_attempt: int, before: int) -> None:
    """The message was not sent: the attempt can be asked for again."""
    await db.execute(
        "UPDATE threepid_sessions SET send_attempt = %s WHERE session_id = %s AND send_attempt = %s",
        (before, session_id, send_attempt),
    )


async def validate_session(
    db: Queries, session_id: str, secret_hash: bytes, token_hash: bytes, now_ms: int, sent_after_ms: int
) -> ValidationSession | None:
    """The session, validated by one of its tokens; None if that is wrong or too old. May be done again."""
    row = await db.fetch_one(
        f"""
        UPDATE threepid_sessions
           SET validated_at_ms = coalesce(validated_at_ms, %s)
         WHERE session_id = %s AND secret_hash = %s AND %s::bytea = ANY(token_hashes) AND sent_ms > %s
        RETURNING {_COLUMNS}
        """,
        (now_ms, session_id, secret_hash, token_hash, sent_after_ms),
    )
    return None if row is None else ValidationSession(*row)


async def delete_validation_session(db: Queries, session_id: str) -> None:
    """It has served."""
    await db.execute("DELETE FROM threepid_sessions WHERE session_id = %s", (session_id,))


async def delete_old_validation_sessions(db: Queries, sent_before_ms: int) -> int:
    """How many there were."""
    return await db.execute("DELETE FROM threepid_sessions WHERE sent_ms <= %s", (sent_before_ms,))
