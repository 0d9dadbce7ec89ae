"""The dehydrated device of each user that has one. A row whose device was deleted otherwise says nothing.

Spec: MSC3814.
"""

from hs_common.storage.queries import Queries


async def dehydrated_device(db: Queries, user_id: str) -> tuple[str, str] | None:
    """(device_id, device_data)."""
    row = await db.fetch_one(
        "SELECT h.device_id, h.device_data FROM dehydrated_devices AS h JOIN devices AS d ON d.user_id = h.user_id"
        " AND d.device_id = h.device_id WHERE h.user_id = %s",
        (user_id,),
    )
    return None if row is None else (row[0], row[1])


async def keep_dehydrated_device(db: Queries, user_id: str, device_id: str, device_data: str) -> str:
    """The user's only one from now on; gives the id of the one that it replaces, "" if there was none.

    Each that is replaced is given to exactly one caller, however many come at once: the row is there before it is
    locked and changed.
    """
    await db.execute(
        "INSERT INTO dehydrated_devices (user_id, device_id, device_data) VALUES (%s, '', '') ON CONFLICT DO NOTHING",
        (user_id,),
    )
    row = await db.fetch_one(
        "UPDATE dehydrated_devices AS h SET device_id = %s, device_data = %s FROM"
        " (SELECT user_id, device_id FROM dehydrated_devices WHERE user_id = %s FOR UPDATE) AS old"
        " WHERE h.user_id = old.user_id RETURNING old.device_id",
        (device_id, device_data, user_id),
    )
    return "" if row is None else str(row[0])


async def drop_dehydrated_device(db: Queries, user_id: str, device_id: str) -> None:
    """That one, if it still is the user's."""
    await db.execute("DELETE FROM dehydrated_devices WHERE user_id = %s AND device_id = %s", (user_id, device_id))
