"""Which account belongs to whom at an identity provider. Written by the master; never cached."""

from hs_common.storage.queries import Queries


async def user_of_external_id(db: Queries, provider_id: str, subject: str) -> str | None:
    """Whose account it is, deactivated or not."""
    row = await db.fetch_one(
        "SELECT user_id FROM external_ids WHERE provider_id = %s AND subject = %s", (provider_id, subject)
    )
    return None if row is None else str(row[0])


async def external_ids_of(db: Queries, user_id: str) -> list[tuple[str, str]]:
    """(provider_id, subject) of all by which a user logs in."""
    rows = await db.fetch("SELECT provider_id, subject FROM external_ids WHERE user_id = %s ORDER BY 1, 2", (user_id,))
    return [(provider_id, subject) for provider_id, subject in rows]
