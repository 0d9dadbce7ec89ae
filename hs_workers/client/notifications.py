"""What the requester was notified of.

Spec: client-server API, #listing-notifications.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_workers.client.room.notified import Notified

DEFAULT_PAGE: Final = 20
MAXIMUM_PAGE: Final = 100
"""Each is a whole event, encoded for the reader."""
HIGHLIGHT: Final = "highlight"
_LATEST: Final = 2**63 - 1


class Notifications:
    """Pages backwards through the log."""

    def __init__(self, notified: Notified) -> None:
        self._notified = notified

    @endpoint(
        "GET",
        "/_matrix/client/v3/notifications",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3notifications",
    )
    async def list(self, request: Request) -> Reply:
        """The newest first. A page may have fewer than asked for and still be followed by others."""
        token = request.query.string("from", None)
        limit = request.query.integer("limit", DEFAULT_PAGE, minimum=1, maximum=MAXIMUM_PAGE)
        before = _LATEST if not token else _position(token)
        # Other values than `highlight` are for later versions of the specification: they filter nothing.
        only_highlights = request.query.string("only", None) == HIGHLIGHT
        return await self._notified.page(request.requester, before, limit, only_highlights=only_highlights)


def _position(token: str) -> int:
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise invalid_param("`from` must be the `next_token` of an earlier answer")
    return int(token)
