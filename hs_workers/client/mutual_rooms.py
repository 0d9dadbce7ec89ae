"""The rooms that the requester shares with somebody.

Spec: client-server API, #mutual-rooms.
"""

import re
from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_compliant_user_id
from hs_common.storage import room_members
from hs_common.storage.queries import Queries

BATCH: Final = 500
"""Rooms of one answer; who shares more with somebody is a bridge's bot."""
_TOKEN: Final = re.compile(r"m(!.{1,254})")


class MutualRooms:
    """With users of this server and of others."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    @endpoint(
        "GET",
        "/_matrix/client/v1/mutual_rooms",
        auth=Auth.USER,
        rate=Rate.SEARCH,
        aliases=(
            "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms",
            "/_matrix/client/unstable/uk.half-shot.msc2666/mutual_rooms",
        ),
        spec="client-server-api/#get_matrixclientv1mutual_rooms",
    )
    async def get(self, request: Request) -> Reply:
        """A batch of them in the order of their ids. 400 `M_INVALID_PARAM`, `M_MISSING_PARAM`."""
        user_id, own_id = request.query.string("user_id"), request.requester.user_id
        if not is_compliant_user_id(user_id) or user_id == own_id:
            raise invalid_param("`user_id` must be the user id of somebody else")
        token = request.query.string("from", None) or request.query.string("batch_token", None)
        after = _after(token) if token else ""
        rooms = await room_members.mutual_rooms(self._db, own_id, user_id, after, BATCH + 1)
        batch = rooms[:BATCH]
        is_whole = not after and len(rooms) <= BATCH
        count = len(rooms) if is_whole else await room_members.count_mutual_rooms(self._db, own_id, user_id)
        answer = {"joined": batch, "count": count}
        return {**answer, "next_batch": f"m{batch[-1]}"} if len(rooms) > BATCH else answer


def _after(token: str) -> str:
    parsed = _TOKEN.fullmatch(token)
    if parsed is None:
        raise invalid_param("`from` is not a token of this endpoint")
    return parsed[1]
