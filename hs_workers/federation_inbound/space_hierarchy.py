"""A space and its children, as far as users of another server could see or join them.

Spec: server-server API, #get_matrixfederationv1hierarchyroomid.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found
from hs_common.matrix.spaces import Child, child_of, in_order
from hs_common.reading.room_summaries import RoomSummaries, Standing
from hs_common.storage import room_state, room_summaries
from hs_common.storage.queries import Queries

MAXIMUM_CHILDREN: Final = 500
"""Children that are told of; the answer is one body, not pages."""
_NOBODY: Final = ""


class SpaceHierarchy:
    """One level of it: the other server asks for the next."""

    def __init__(self, db: Queries, summaries: RoomSummaries) -> None:
        self._db = db
        self._summaries = summaries

    @endpoint(
        "GET",
        "/_matrix/federation/v1/hierarchy/{roomId}",
        auth=Auth.SERVER,
        aliases=("/_matrix/federation/unstable/org.matrix.msc2946/hierarchy/{roomId}",),
        spec="server-server-api/#get_matrixfederationv1hierarchyroomid",
    )
    async def get(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND` for a room that the server's users could not get into, known or not."""
        room_id, origin = request.path["roomId"], request.origin
        suggested_only = request.query.boolean("suggested_only", False)
        standing = (await self._summaries.standings([room_id], _NOBODY))[room_id]
        if not await self._accessible([standing], origin):
            raise not_found("Room does not exist")
        children = await self._children(room_id, suggested_only) if standing.is_space else []
        known = await self._summaries.standings([child.room_id for child in children], _NOBODY) if children else {}
        here = [one for one in known.values() if one.is_here]
        accessible = await self._accessible(here, origin)
        told = await self._summaries.summaries([room_id, *accessible])
        return {
            "room": {**told[room_id], "children_state": [child.stripped for child in children]},
            "children": [told[child.room_id] for child in children if child.room_id in accessible],
            "inaccessible_children": [one.room_id for one in here if one.room_id not in accessible],
        }

    async def _children(self, room_id: str, suggested_only: bool) -> list[Child]:
        rows = await room_summaries.children(self._db, room_id, MAXIMUM_CHILDREN)
        children = [child_of(state_key, orjson.loads(json)) for state_key, json in rows]
        return in_order(child for child in children if child is not None and (child.is_suggested or not suggested_only))

    async def _accessible(self, standings: Sequence[Standing], origin: str) -> set[str]:
        """Rooms here that are open, that the server is in, or that somebody of it could join from another room."""
        here = [one for one in standings if one.is_here]
        named: dict[str, Any] = {one.room_id: one.letting_in for one in here}
        entered = await room_state.rooms_of_server(
            self._db, origin, list({*named, *(room for rooms in named.values() for room in rooms)})
        )
        return {
            one.room_id
            for one in here
            if one.is_open or one.room_id in entered or not entered.isdisjoint(one.letting_in)
        }
