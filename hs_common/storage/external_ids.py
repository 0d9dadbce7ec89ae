"""Which account belongs to whom at an identity provider. Written by workers; never cached."""

from hs_common.storage.queries import Queries


async def user_of_external_id(db: Queries, provider_id: str, subject: str) -> str | None:
    """Whose account it is, deactivated or not."""
    row = await db.fetch_one(
        "SELECT user_id FROM external_ids WHERE provider_id = %s AND subject = %s", (provider_id, subject)
    )
    return None if row is None else str(row[0])


async def add_external_id(db: Queries, provider_id: str, subject: str, user_id: str) -> bool:
    """Ties the account to them; False if they have one already."""
    touched = await db.execute(
        """
        INSERT INTO external_ids (provider_id, subject, user_id) VALUES (%s, %s, %s)
            ON CONFLICT (provider_id, subject) DO NOTHING
        """,
        (provider_id, subject, user_id),
    )
    return touched == 1


async def external_ids_of(db: Queries, user_id: str) -> list[tuple[str, str]]:
    """(provider_id, subject) of all by which a user logs in."""
    rows = await db.fetch("SELECT provider_id, subject FROM external_ids WHERE user_id = %s ORDER BY 1, 2", (user_id,))
    return [(provider_id, subject) for provider_id, subject in rows]


async def delete_external_id(db: Queries, provider_id: str, subject: str, user_id: str) -> None:
    """The account is theirs no more."""
    await db.execute(
        "DELETE FROM external_ids WHERE provider_id = %s AND subject = %s AND user_id = %s",
        (provider_id, subject, user_id),
    )
