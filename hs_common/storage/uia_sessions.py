"""Sessions of the user-interactive authentication API. Written by whichever worker got the request; never cached.

A session is *claimed* while the operation that it authorised runs, so that it authorises one only.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A row. `details` is what the operation and the stages remember; it never holds a password."""

    session_id: str
    operation: str
    body_hash: bytes
    user_id: str | None
    completed: tuple[str, ...]
    details: dict[str, Any]
    flows: tuple[tuple[str, ...], ...] = ()


async def add_session(db: Queries, session: StoredSession, now_ms: int) -> None:
    await db.execute(
        """
        INSERT INTO uia_sessions (session_id, made, operation, body_hash, user_id, completed, details, flows)
        VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s)
        """,
        (
            session.session_id,
            now_ms,
            session.operation,
            session.body_hash,
            session.user_id,
            list(session.completed),
            orjson.dumps(session.details).decode(),
            orjson.dumps(session.flows).decode(),
        ),
    )


async def session(db: Queries, session_id: str, made_after_ms: int) -> StoredSession | None:
    """The session, unless it is older than that or claimed."""
    row = await db.fetch_one(
        """
        SELECT session_id, operation, body_hash, user_id, completed, details, flows
          FROM uia_sessions
         WHERE session_id = %s AND made > to_timestamp(%s / 1000.0) AND NOT (details::jsonb ? 'claimed')
        """,
        (session_id, made_after_ms),
    )
    if row is None:
        return None
    flows = tuple(tuple(flow) for flow in orjson.loads(row[6] or "[]"))
    return StoredSession(row[0], row[1], bytes(row[2]), row[3], tuple(row[4]), orjson.loads(row[5]), flows)


async def complete_stage(db: Queries, session_id: str, stage: str, details: dict[str, Any]) -> bool:
    """Adds a completed stage and what it remembers; False if another request completed it meanwhile."""
    touched = await db.execute(
        """
        UPDATE uia_sessions
           SET completed = array_append(completed, %(stage)s),
               details = (details::jsonb || %(details)s::jsonb)::text
         WHERE session_id = %(session_id)s AND NOT %(stage)s = ANY(completed)
        """,
        {"session_id": session_id, "stage": stage, "details": orjson.dumps(details).decode()},
    )
    return touched == 1


async def claim_session(db: Queries, session_id: str) -> bool:
    """Takes the session for one run of its operation; False if another request did."""
    touched = await db.execute(
        """
        UPDATE uia_sessions
           SET details = (details::jsonb || '{"claimed": true}')::text
         WHERE session_id = %s AND NOT (details::jsonb ? 'claimed')
        """,
        (session_id,),
    )
    return touched == 1


async def unclaim_session(db: Queries, session_id: str) -> None:
    """The operation failed for another reason; the client may try it again with the same session."""
    await db.execute(
        "UPDATE uia_sessions SET details = (details::jsonb - 'claimed')::text WHERE session_id = %s", (session_id,)
    )


async def delete_session(db: Queries, session_id: str) -> None:
    await db.execute("DELETE FROM uia_sessions WHERE session_id = %s", (session_id,))


async def delete_old_sessions(db: Queries, made_before_ms: int) -> list[dict[str, Any]]:
    """Deletes sessions that have expired; answers their details, so that what they held can be given back."""
    rows = await db.fetch(
        "DELETE FROM uia_sessions WHERE made <= to_timestamp(%s / 1000.0) RETURNING details", (made_before_ms,)
    )
    return [orjson.loads(row[0]) for row in rows]
