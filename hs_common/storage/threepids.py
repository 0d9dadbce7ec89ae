"""Third-party identifiers of accounts, and where they were published. Written by workers; never cached."""

from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Threepid:
    """An identifier of an account. The address is canonical."""

    medium: str
    address: str
    validated_at_ms: int
    added_at_ms: int


async def add_threepid(db: Queries, user_id: str, threepid: Threepid) -> bool:
    """Whether it is the user's now; False if it is another account's."""
    row = await db.fetch_one(
        """
        INSERT INTO user_threepids (medium, address, user_id, validated_at_ms, added_at_ms)
        VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (medium, address) DO UPDATE
           SET validated_at_ms = greatest(user_threepids.validated_at_ms, excluded.validated_at_ms)
        RETURNING user_id
        """,
        (threepid.medium, threepid.address, user_id, threepid.validated_at_ms, threepid.added_at_ms),
    )
    return row is not None and row[0] == user_id


async def delete_threepid(db: Queries, user_id: str, medium: str, address: str) -> bool:
    """Whether it was the user's."""
    touched = await db.execute(
        "DELETE FROM user_threepids WHERE user_id = %s AND medium = %s AND address = %s", (user_id, medium, address)
    )
    return touched == 1


async def threepids_of(db: Queries, user_id: str) -> list[Threepid]:
    """All of a user's, the oldest first."""
    rows = await db.fetch(
        """
        SELECT medium, address, validated_at_ms, added_at_ms
          FROM user_threepids
         WHERE user_id = %s
         ORDER BY added_at_ms, medium, address
        """,
        (user_id,),
    )
    return [Threepid(*row) for row in rows]


async def user_of_threepid(db: Queries, medium: str, address: str) -> str | None:
    """Whose it is."""
    row = await db.fetch_one("SELECT user_id FROM user_threepids WHERE medium = %s AND address = %s", (medium, address))
    return None if row is None else str(row[0])


async def delete_threepids_of(db: Queries, user_id: str) -> int:
    """Deletes all of a user's; how many there were."""
    return await db.execute("DELETE FROM user_threepids WHERE user_id = %s", (user_id,))


async def add_binding(db: Queries, user_id: str, medium: str, address: str, id_server: str) -> None:
    """It was published at the identity server."""
    await db.execute(
        """
        INSERT INTO threepid_bindings (user_id, medium, address, id_server) VALUES (%s, %s, %s, %s)
            ON CONFLICT DO NOTHING
        """,
        (user_id, medium, address, id_server),
    )


async def delete_binding(db: Queries, user_id: str, medium: str, address: str, id_server: str) -> None:
    await db.execute(
        "DELETE FROM threepid_bindings WHERE user_id = %s AND medium = %s AND address = %s AND id_server = %s",
        (user_id, medium, address, id_server),
    )


async def bindings_of(db: Queries, user_id: str) -> list[tuple[str, str, str]]:
    """(medium, address, id_server) of all that a user has published."""
    rows = await db.fetch(
        "SELECT medium, address, id_server FROM threepid_bindings WHERE user_id = %s ORDER BY 1, 2, 3", (user_id,)
    )
    return [(medium, address, id_server) for medium, address, id_server in rows]
