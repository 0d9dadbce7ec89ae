"""Rooms as operators look after them: listing, looking into, blocking and deleting them.

Not in the specification: paths and forms are those of Synapse's documented admin API, which administration tools and
bridges call. Moving a deleted room's users to a new one is not done here.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.identifiers import check_room_id
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.client_events import ClientEvents
from hs_common.storage import room_deletion, room_state
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.deleting import Deleting

DEFAULT_LIMIT: Final = 100
MAXIMUM_LIMIT: Final = 1_000
MAXIMUM_OFFSET: Final = 10_000_000
V1: Final = "/_synapse/admin/v1/rooms"
V2: Final = "/_synapse/admin/v2/rooms"


class _Block(msgspec.Struct):
    block: bool


class Deletion(msgspec.Struct):
    """What is to be done with a room."""

    block: bool = False
    purge: bool = True
    force_purge: bool = False
    message: str | None = None
    new_room_user_id: str | None = None
    room_name: str | None = None


class RoomAdministration:
    """For administrators of this server."""

    def __init__(self, db: Queries, events: ClientEvents, deleting: Deleting) -> None:
        self._db = db
        self._events = events
        self._deleting = deleting

    @endpoint("GET", V1, auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def list(self, request: Request) -> Reply:
        """A page of all rooms."""
        query = request.query
        order_by, direction = query.string("order_by", "name"), query.string("dir", "f")
        order_by = {"alphabetical": "name", "size": "joined_members"}.get(order_by, order_by)
        if order_by not in room_deletion.ORDERS or direction not in ("f", "b"):
            raise invalid_param(f"`order_by` must be one of {', '.join(room_deletion.ORDERS)}; `dir` is `f` or `b`")
        offset = query.integer("from", 0, 0, MAXIMUM_OFFSET)
        limit = query.integer("limit", DEFAULT_LIMIT, 0, MAXIMUM_LIMIT)
        rows = await room_deletion.rooms(
            self._db,
            order_by=order_by,
            # Numbers come largest first, as tools expect it.
            descending=(direction == "b") != order_by.startswith(("joined", "state")),
            term=query.string("search_term", None) or None,
            public=query.boolean("public_rooms"),
            empty=query.boolean("empty_rooms"),
            limit=limit,
            offset=offset,
        )
        total = rows[0][-1] if rows else 0
        answer: dict[str, Any] = {"rooms": [_listed(row) for row in rows], "offset": offset, "total_rooms": total}
        if offset + len(rows) < total:
            answer["next_batch"] = offset + len(rows)
        if offset > 0:
            answer["prev_batch"] = max(0, offset - limit)
        return answer

    @endpoint("GET", V1 + "/{roomId}", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def room(self, request: Request) -> Reply:
        """One room."""
        row = await room_deletion.room(self._db, request.path["roomId"])
        if row is None:
            raise not_found("Room not found")
        shown = _shown(row)
        return {**_listed(row), "avatar": shown["avatar"], "topic": shown["topic"]}

    @endpoint("GET", V1 + "/{roomId}/members", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def members(self, request: Request) -> Reply:
        """Who is in it."""
        room_id = request.path["roomId"]
        await self._version(room_id)
        members = await room_deletion.joined(self._db, room_id)
        return {"members": members, "total": len(members)}

    @endpoint("GET", V1 + "/{roomId}/state", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def state(self, request: Request) -> Reply:
        """Its state events."""
        room_id = request.path["roomId"]
        version = ROOM_VERSIONS[await self._version(room_id)]
        events = self._events.state(version, await room_state.all_entries(self._db, room_id, room_state.NOW))
        return Encoded(b'{"state":[' + b",".join(events) + b"]}")

    @endpoint("GET", V1 + "/{roomId}/block", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def is_blocked(self, request: Request) -> Reply:
        """Whether users are kept out."""
        user_id = await room_deletion.blocked_by(self._db, request.path["roomId"])
        return {"block": False} if user_id is None else {"block": True, "user_id": user_id}

    @endpoint("PUT", V1 + "/{roomId}/block", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def block(self, request: Request) -> Reply:
        """Keeps users out, or lets them in again."""
        room_id, wanted = check_room_id(request.path["roomId"]), request.body(_Block).block
        await self._deleting.set_blocked(room_id, request.requester.user_id, wanted)
        return {"block": wanted}

    @endpoint("DELETE", V1 + "/{roomId}", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def delete(self, request: Request) -> Reply:
        """Begins to delete a room; tells who is put out."""
        _, told = await self._delete(request)
        return {**told, "new_room_id": None}

    @endpoint("DELETE", V2 + "/{roomId}", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def delete_in_background(self, request: Request) -> Reply:
        """The same, by an id under which one can ask how far it is."""
        delete_id, _ = await self._delete(request)
        return {"delete_id": delete_id}

    @endpoint("GET", V2 + "/{roomId}/delete_status", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def statuses(self, request: Request) -> Reply:
        """How far the deletions of a room are."""
        return {"results": await self._deleting.status(room_id=request.path["roomId"])}

    @endpoint("GET", V2 + "/delete_status/{deleteId}", auth=Auth.ADMIN, spec="Synapse's admin API, rooms")
    async def status(self, request: Request) -> Reply:
        """How far a deletion is."""
        (status,) = await self._deleting.status(delete_id=request.path["deleteId"])
        return status

    async def _delete(self, request: Request) -> tuple[str, dict[str, Any]]:
        room_id, wanted = check_room_id(request.path["roomId"]), request.body(Deletion, optional=True)
        if wanted.new_room_user_id is not None:
            raise invalid_param("This server does not move users to a new room; leave `new_room_user_id` out")
        return await self._deleting.delete(
            room_id, request.requester.user_id, block=wanted.block, purge=wanted.purge, reason=wanted.message
        )

    async def _version(self, room_id: str) -> str:
        version = await room_state.room_version(self._db, room_id)
        if version is None:
            raise not_found("Room not found")
        return version


def _shown(row: Row) -> dict[str, Any]:
    return dict(zip(room_deletion.COLUMNS, row, strict=False))


def _listed(row: Row) -> dict[str, Any]:
    """A room in a list, with null where it has nothing, as the tools expect it."""
    shown = _shown(row)
    shown["public"] = shown.pop("is_public")
    shown["federatable"] = shown["federatable"] != "false"
    return {key: value for key, value in shown.items() if key not in ("avatar", "topic")}
