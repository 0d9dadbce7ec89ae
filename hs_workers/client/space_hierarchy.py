"""The rooms of a space.

Spec: client-server API, #discovering-rooms-within-spaces.
"""

import re
from typing import Final

from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_workers.client.room.hierarchy import Hierarchies, Wanted

DEFAULT_LIMIT: Final = 50
MAXIMUM_LIMIT: Final = 100
MAXIMUM_DEPTH: Final = 50
"""Levels below the space that are walked if the client does not say; and at most."""
_TOKEN: Final = re.compile(r"h([0-9]{1,9})_([0-9]{1,9})_([01])")


class SpaceHierarchy:
    """A page of them, with what the requester may hear of."""

    def __init__(self, hierarchies: Hierarchies) -> None:
        self._hierarchies = hierarchies

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/hierarchy",
        auth=Auth.USER,
        aliases=(unstable("org.matrix.msc2946"),),
        spec="client-server-api/#get_matrixclientv1roomsroomidhierarchy",
    )
    async def get(self, request: Request) -> Reply:
        """400 `M_INVALID_PARAM` for a token of another walk; 403 `M_FORBIDDEN`."""
        query = request.query
        suggested_only = query.boolean("suggested_only", False)
        max_depth = query.integer("max_depth", MAXIMUM_DEPTH, 0, MAXIMUM_DEPTH)
        limit = query.integer("limit", DEFAULT_LIMIT, 1, MAXIMUM_LIMIT)
        told = _told(query.string("from", None), max_depth, suggested_only)
        wanted = Wanted(suggested_only, max_depth, limit, told)
        page = await self._hierarchies.page(request.path["roomId"], request.requester, wanted)
        answer = {"rooms": page.rooms}
        if page.is_last or not page.rooms:
            return answer
        return {**answer, "next_batch": f"h{told + len(page.rooms)}_{max_depth}_{int(suggested_only)}"}


def _told(token: str | None, max_depth: int, suggested_only: bool) -> int:
    """How many rooms were told before the token was given out."""
    if not token:
        return 0
    parsed = _TOKEN.fullmatch(token)
    if parsed is None:
        raise invalid_param("`from` is not a token of this endpoint")
    if (int(parsed[2]), parsed[3]) != (max_depth, str(int(suggested_only))):
        raise invalid_param("`suggested_only` and `max_depth` cannot change from page to page")
    return int(parsed[1])
