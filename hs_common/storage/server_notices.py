"""Which room is a user's room of server notices. Written by the workers that send notices; nothing caches it."""

from hs_common.storage.queries import Queries


async def room_of(db: Queries, user_id: str) -> str | None:
    row = await db.fetch_one("SELECT room_id FROM server_notice_rooms WHERE user_id = %s", (user_id,))
    return None if row is None else str(row[0])


async def set_room(db: Queries, user_id: str, room_id: str) -> str:
    """The user has this room, unless he has one already; answers which he has now."""
    await db.execute(
        "INSERT INTO server_notice_rooms (user_id, room_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (user_id, room_id)
    )
    room = await room_of(db, user_id)
    assert room is not None, "a row that is there stays"
    return room
