"""The directory of this server's published rooms, for other servers.

Spec: server-server API, #public-room-directory.
"""

from typing import Final

import msgspec

from hs_common.appservices.service_queries import network_of
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.reading.published_rooms import PublishedRooms, Search

DEFAULT_LIMIT: Final = 100
MAXIMUM_LIMIT: Final = 500
"""Rooms on a page. A limit of 0 asks for all of them, and gets this many and a token."""


class _Filter(msgspec.Struct):
    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class _Search(msgspec.Struct):
    limit: int | None = None
    since: str | None = None
    filter: _Filter | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


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
        wanted = _Search(
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
        return await self._rooms.find(_search(request.body(_Search)))


def _search(wanted: _Search) -> Search:
    filter = wanted.filter or _Filter()
    if wanted.limit is not None and wanted.limit < 0:
        raise invalid_param("`limit` must not be negative")
    if wanted.third_party_instance_id and wanted.include_all_networks:
        raise invalid_param("`third_party_instance_id` excludes `include_all_networks`")
    limit = DEFAULT_LIMIT if wanted.limit is None else wanted.limit or MAXIMUM_LIMIT
    return Search(
        min(limit, MAXIMUM_LIMIT),
        wanted.since or None,
        (filter.generic_search_term or "").strip(),
        filter.room_types,
        network_of(wanted.third_party_instance_id) if wanted.third_party_instance_id else None,
        wanted.include_all_networks,
    )
