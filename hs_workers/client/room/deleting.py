"""Ending rooms for operators: putting users out, taking names away, removing what is stored, keeping users out.

What takes long goes on in the background; who asks is told how far it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.errors import not_found
from hs_common.replication.link_interface import Link
from hs_common.replication.room_calls import DeleteRoom
from hs_common.storage import room_deletion, room_directory, room_state
from hs_common.storage.queries import Queries, Row

MAXIMUM_TOLD: Final = 10_000
"""Users whose leaving is told by name."""
ID_BYTES: Final = 12


class Deleting:
    """Deletes and blocks rooms."""

    def __init__(self, db: Queries, master: Link, random: Callable[[int], bytes], now_ms: Callable[[], int]) -> None:
        self._db = db
        self._master = master
        self._random = random
        self._now_ms = now_ms

    async def delete(
        self, room_id: str, operator: str, *, block: bool, purge: bool, reason: str | None
    ) -> tuple[str, dict[str, Any]]:
        """The deletion's id, and who is put out. A room that is not known here can be blocked all the same; else 404
        `M_NOT_FOUND`."""
        is_known = await room_state.is_known(self._db, room_id)
        if block:
            await room_deletion.block(self._db, room_id, operator, self._now_ms())
        if not is_known:
            if not block:
                raise not_found("Room not found")
            return "", _told([], [])
        users = await room_deletion.local_members(self._db, room_id, "", MAXIMUM_TOLD)
        aliases = await room_directory.room_aliases(self._db, room_id)
        told = _told(users, aliases)
        delete_id = self._random(ID_BYTES).hex()
        await self._master.call(
            DeleteRoom(
                room_id=room_id,
                delete_id=delete_id,
                purge=purge,
                reason=reason,
                aliases=aliases,
                told=orjson.dumps(told),
            )
        )
        return delete_id, told

    async def set_blocked(self, room_id: str, operator: str, wanted: bool) -> None:
        """Keeps this server's users out of a room, known or not, or lets them in again."""
        if wanted:
            await room_deletion.block(self._db, room_id, operator, self._now_ms())
        else:
            await room_deletion.unblock(self._db, room_id)

    async def status(self, *, room_id: str | None = None, delete_id: str | None = None) -> list[dict[str, Any]]:
        """How far deletions are. 404 `M_NOT_FOUND` if there are none."""
        rows = await room_deletion.deletions(self._db, room_id=room_id, delete_id=delete_id)
        if not rows:
            raise not_found("No deletion is known")
        return [_status(row) for row in rows]


def _told(users: Sequence[str], aliases: Sequence[str]) -> dict[str, Any]:
    return {"kicked_users": list(users), "failed_to_kick_users": [], "local_aliases": list(aliases)}


def _status(row: Row) -> dict[str, Any]:
    delete_id, room_id, status, told = row
    return {"delete_id": delete_id, "room_id": room_id, "status": status, "shutdown_room": orjson.loads(told)}
