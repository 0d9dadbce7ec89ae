"""What clients and other servers send to search the directory of published rooms: the same body for both.

Spec: client-server API and server-server API, #post_publicrooms.
"""

from typing import Final

import msgspec

from hs_common.matrix.errors import invalid_param
from hs_common.matrix.network_instances import network_of
from hs_common.reading.published_rooms import Search

MAXIMUM_LIMIT: Final = 500
"""Rooms on a page; clients show some tens and load more."""


class Filter(msgspec.Struct):
    """Which rooms."""

    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class DirectoryRequest(msgspec.Struct):
    """As it is sent."""

    limit: int | None = None
    since: str | None = None
    filter: Filter | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None

    def search(self, limit: int) -> Search:
        """What is wanted, on pages of so many rooms or fewer. 400 `M_INVALID_PARAM` for a contradiction."""
        if self.third_party_instance_id and self.include_all_networks:
            raise invalid_param("`third_party_instance_id` excludes `include_all_networks`")
        filter = self.filter or Filter()
        return Search(
            min(limit, MAXIMUM_LIMIT),
            self.since or None,
            (filter.generic_search_term or "").strip(),
            filter.room_types,
            network_of(self.third_party_instance_id) if self.third_party_instance_id else None,
            self.include_all_networks,
        )
