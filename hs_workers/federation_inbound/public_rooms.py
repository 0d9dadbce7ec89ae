"""The directory of this server's published rooms, for other servers.

Spec: server-server API, #public-room-directory.
"""

from typing import Final

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.reading.directory_request import MAXIMUM_LIMIT, DirectoryRequest
from hs_common.reading.published_rooms import PublishedRooms, Search

DEFAULT_LIMIT: Final = 100


class PublicRooms:
    """Reads pages of it."""

    def __init__(self, rooms: PublishedRooms) -> None:
        self._rooms = rooms

    @endpoint(
        "GET",
        "/_matrix/federation/v1/publicRooms",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1publicrooms",
    )
    async def list(self, request: Request) -> Reply:
        """A page."""
        query = request.query
        wanted = DirectoryRequest(
            limit=query.integer("limit", None, 0),
            since=query.string("since", None),
            include_all_networks=query.boolean("include_all_networks", False),
            third_party_instance_id=query.string("third_party_instance_id", None),
        )
        return await self._rooms.find(_search(wanted))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/publicRooms",
        auth=Auth.SERVER,
        reads=True,
        spec="server-server-api/#post_matrixfederationv1publicrooms",
    )
    async def search(self, request: Request) -> Reply:
        """A page of what a filter finds."""
        return await self._rooms.find(_search(request.body(DirectoryRequest)))


def _search(wanted: DirectoryRequest) -> Search:
    if wanted.limit is not None and wanted.limit < 0:
        raise invalid_param("`limit` must not be negative")
    # A limit of 0 asks for all rooms, and gets the first page and a token.
    return wanted.search(DEFAULT_LIMIT if wanted.limit is None else wanted.limit or MAXIMUM_LIMIT)
