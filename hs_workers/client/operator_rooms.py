"""Rooms for `viaduct admin rooms`, whose caller proves that he knows the server's shared secret.

Not in the specification.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_common.storage import room_deletion
from hs_common.storage.queries import Queries
from hs_workers.client.room.deleting import Deleting

PATH: Final = "/_viaduct/admin/v1/rooms"
LISTED: Final = 1_000
OPERATOR: Final = ""
"""Who blocked a room by command: nobody who has an account."""


class _Deletion(msgspec.Struct):
    purge: bool = True
    block: bool = False
    reason: str | None = None


class _Block(msgspec.Struct):
    block: bool


class OperatorRooms:
    """Listing, deleting, blocking. `secret` is the config's shared one."""

    def __init__(self, db: Queries, deleting: Deleting, secret: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._deleting = deleting
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("GET", PATH, auth=Auth.NONE, spec="Viaduct's own administration")
    async def list(self, request: Request) -> Reply:
        """The largest rooms."""
        self._check(request)
        rows = await room_deletion.rooms(
            self._db,
            order_by="joined_members",
            descending=True,
            term=None,
            public=None,
            empty=None,
            limit=LISTED,
            offset=0,
        )
        return {"rooms": [_told(dict(zip(room_deletion.COLUMNS, row, strict=False))) for row in rows]}

    @endpoint("POST", PATH + "/{roomId}/delete", auth=Auth.NONE, spec="Viaduct's own administration")
    async def delete(self, request: Request) -> Reply:
        """Begins to delete a room."""
        self._check(request)
        room_id, wanted = check_room_id(request.path["roomId"]), request.body(_Deletion)
        delete_id, told = await self._deleting.delete(
            room_id, OPERATOR, block=wanted.block, purge=wanted.purge, reason=wanted.reason
        )
        return {"delete_id": delete_id, **told}

    @endpoint("GET", PATH + "/{roomId}/deletions", auth=Auth.NONE, spec="Viaduct's own administration")
    async def deletions(self, request: Request) -> Reply:
        """How far the deletions of a room are."""
        self._check(request)
        return {"deletions": await self._deleting.status(room_id=request.path["roomId"])}

    @endpoint("PUT", PATH + "/{roomId}/block", auth=Auth.NONE, spec="Viaduct's own administration")
    async def block(self, request: Request) -> Reply:
        """Keeps users out of a room, or lets them in again."""
        self._check(request)
        room_id, wanted = check_room_id(request.path["roomId"]), request.body(_Block).block
        await self._deleting.set_blocked(room_id, OPERATOR, wanted)
        return {"block": wanted}

    def _check(self, request: Request) -> None:
        check_proof(self._secret, request, self._now_ms())


def _told(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("room_id", "name", "canonical_alias", "joined_members", "joined_local_members", "version")
    return {key: row[key] for key in keys if row[key] is not None}
