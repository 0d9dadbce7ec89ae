"""What a room is like, before one joins it.

Spec: client-server API, #get_matrixclientv1room_summaryroomidoralias.
"""

from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found
from hs_common.matrix.identifiers import check_room_id, is_server_name
from hs_common.reading.room_summaries import RoomSummaries, Standing, summary
from hs_common.storage.queries import Queries
from hs_workers.client.room.aliases import Aliases
from hs_workers.client.room.elsewhere import Elsewhere, may_hear

MAXIMUM_VIA: Final = 20
"""Servers that the client may name."""
_UNSTABLE: Final = "/_matrix/client/unstable/im.nheko.summary/"

Json = dict[str, Any]


class RoomSummary:
    """By room id or alias, also without an account if everybody may hear of the room."""

    def __init__(self, db: Queries, summaries: RoomSummaries, aliases: Aliases, elsewhere: Elsewhere) -> None:
        self._db = db
        self._summaries = summaries
        self._aliases = aliases
        self._elsewhere = elsewhere

    @endpoint(
        "GET",
        "/_matrix/client/v1/room_summary/{roomIdOrAlias}",
        auth=Auth.USER_OPTIONAL,
        aliases=(f"{_UNSTABLE}summary/{{roomIdOrAlias}}", f"{_UNSTABLE}rooms/{{roomIdOrAlias}}/summary"),
        spec="client-server-api/#get_matrixclientv1room_summaryroomidoralias",
    )
    async def get(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND` for a room that the requester may not hear of, known or not."""
        named = request.path["roomIdOrAlias"]
        requester = request.optional_requester
        user_id = "" if requester is None else requester.user_id
        via = [server for server in request.query.strings("via")[:MAXIMUM_VIA] if is_server_name(server)]
        room_id = await self._aliases.room_id(named) if named.startswith("#") else check_room_id(named)
        standing = (await self._summaries.standings([room_id], user_id))[room_id]
        told = await self._told(standing, user_id, via)
        if told is None:
            raise not_found("Room not found")
        told.pop("children_state", None)
        return {**told, "membership": standing.membership or "leave"} if user_id else told

    async def _told(self, standing: Standing, user_id: str, via: list[str]) -> Json | None:
        room_id = standing.room_id
        if standing.is_here:
            if not await self._summaries.accessible([standing], user_id):
                return None
            return (await self._summaries.summaries([room_id])).get(room_id)
        remote = await self._elsewhere.room(room_id, via, False)
        if remote is not None and await may_hear(self._db, remote.summary, standing, user_id):
            return dict(remote.summary)
        if standing.membership in ("invite", "knock") and standing.stripped_state:
            return _of_stripped_state(room_id, orjson.loads(standing.stripped_state))
        return None


def _of_stripped_state(room_id: str, entries: list[Json]) -> Json:
    """All that is known of a room to which a user was invited from elsewhere; its members were not told."""
    contents = {entry["type"]: entry["content"] for entry in entries if entry.get("state_key") == ""}
    return summary(room_id, 1, contents)
