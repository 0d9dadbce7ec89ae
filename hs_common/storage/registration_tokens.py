"""Registration tokens: how often each was used up, and how many interactive authentications hold one at the moment.

A use is *pending* from the stage that showed the token until the registration is done (then it is *completed*) or its
session has expired (then it is free again). The columns are counts, so that any worker can change them.
"""

from dataclasses import dataclass

from hs_common.storage.queries import Queries


async def is_token_valid(db: Queries, token: str, now_ms: int) -> bool:
    """Whether somebody could register with the token now."""
    row = await db.fetch_one(
        """
        SELECT 1
          FROM registration_tokens
         WHERE token = %s
           AND (uses_allowed IS NULL OR pending + completed < uses_allowed)
           AND (expires_at_ms IS NULL OR expires_at_ms > %s)
        """,
        (token, now_ms),
    )
    return row is not None


async def reserve_token(db: Queries, token: str, now_ms: int) -> bool:
    """Holds one use of the token, if there is one left."""
    touched = await db.execute(
        """
        UPDATE registration_tokens
           SET pending = pending + 1
         WHERE token = %s
           AND (uses_allowed IS NULL OR pending + completed < uses_allowed)
           AND (expires_at_ms IS NULL OR expires_at_ms > %s)
        """,
        (token, now_ms),
    )
    return touched == 1


async def complete_token(db: Queries, token: str) -> None:
    """The use that was held is used up."""
    await db.execute(
        "UPDATE registration_tokens SET pending = greatest(pending - 1, 0), completed = completed + 1 WHERE token = %s",
        (token,),
    )


async def release_token(db: Queries, token: str) -> None:
    """The use that was held is free again."""
    await db.execute("UPDATE registration_tokens SET pending = greatest(pending - 1, 0) WHERE token = %s", (token,))


async def add_token(db: Queries, token: str, uses_allowed: int | None, expires_at_ms: int | None) -> bool:
    """Makes a token; False if it is there already."""
    touched = await db.execute(
        """
        INSERT INTO registration_tokens (token, uses_allowed, expires_at_ms) VALUES (%s, %s, %s)
            ON CONFLICT (token) DO NOTHING
        """,
        (token, uses_allowed, expires_at_ms),
    )
    return touched == 1


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A token and how it was used. None: no limit, no end."""

    token: str
    uses_allowed: int | None
    pending: int
    completed: int
    expires_at_ms: int | None


async def tokens(db: Queries, valid: bool | None, now_ms: int) -> list[RegistrationToken]:
    """All tokens; or only those that would be accepted now, or would not."""
    rows = await db.fetch(
        """
        SELECT token, uses_allowed, pending, completed, expires_at_ms
          FROM registration_tokens
         WHERE %(valid)s::boolean IS NULL
            OR %(valid)s = ((uses_allowed IS NULL OR pending + completed < uses_allowed)
                            AND (expires_at_ms IS NULL OR expires_at_ms > %(now_ms)s))
         ORDER BY token
        """,
        {"valid": valid, "now_ms": now_ms},
    )
    return [RegistrationToken(*row) for row in rows]


async def token_row(db: Queries, token: str) -> RegistrationToken | None:
    row = await db.fetch_one(
        "SELECT token, uses_allowed, pending, completed, expires_at_ms FROM registration_tokens WHERE token = %s",
        (token,),
    )
    return None if row is None else RegistrationToken(*row)


async def change_token(db: Queries, token: str, uses_allowed: int | None, expires_at_ms: int | None) -> bool:
    """Sets both limits; False if there is no such token."""
    touched = await db.execute(
        "UPDATE registration_tokens SET uses_allowed = %s, expires_at_ms = %s WHERE token = %s",
        (uses_allowed, expires_at_ms, token),
    )
    return touched == 1


async def delete_token(db: Queries, token: str) -> bool:
    """Whether it was there."""
    return await db.execute("DELETE FROM registration_tokens WHERE token = %s", (token,)) == 1
