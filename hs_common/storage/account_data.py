"""Account data, global (room id '') and per room. Written by the master alone. Contents are JSON objects, as text."""

from hs_common.storage.queries import Queries


async def account_data(db: Queries, user_id: str, room_id: str, data_type: str) -> tuple[str, int] | None:
    """(content, position of its last change), or None if it was never set."""
    row = await db.fetch_one(
        "SELECT content, pos FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s",
        (user_id, room_id, data_type),
    )
    return None if row is None else (row[0], row[1])
