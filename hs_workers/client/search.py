"""Full text search over what a user may read.

Spec: client-server API, #server-side-search.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.filters import parse_room_event_filter
from hs_common.matrix.searched_texts import KEYS
from hs_workers.client.room.found_neighbours import Around
from hs_workers.client.room.search_scope import GROUP_KEYS, parse_place
from hs_workers.client.room.searching import Searching, Wanted

MAXIMUM_TERM: Final = 500
"""Characters of a search term."""
MAXIMUM_RESULTS: Final = 50
"""Results of a page; each is read with its surroundings."""
MAXIMUM_AROUND: Final = 50


class _Around(msgspec.Struct):
    before_limit: int = 5
    after_limit: int = 5
    include_profile: bool = False


class _Group(msgspec.Struct):
    key: str


class _Groupings(msgspec.Struct):
    group_by: list[_Group] = []


class _RoomEvents(msgspec.Struct):
    search_term: str
    keys: list[str] | None = None
    filter: dict[str, Any] | None = None
    order_by: str = "rank"
    event_context: _Around | None = None
    include_state: bool = False
    groupings: _Groupings | None = None


class _Categories(msgspec.Struct):
    room_events: _RoomEvents | None = None


class _Body(msgspec.Struct):
    search_categories: _Categories


class Search:
    """The one category is that of events."""

    def __init__(self, searching: Searching) -> None:
        self._searching = searching

    @endpoint(
        "POST",
        "/_matrix/client/v3/search",
        auth=Auth.USER,
        rate=Rate.SEARCH,
        aliases=(r0, v1),
        reads=False,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3search",
    )
    async def search(self, request: Request) -> Reply:
        """A page of results. 400 `M_BAD_JSON`, `M_INVALID_PARAM`."""
        category = request.body(_Body).search_categories.room_events
        if category is None:
            return {"search_categories": {}}
        wanted = _wanted(category, request.query.string("next_batch", None))
        return {"search_categories": {"room_events": await self._searching.find(request.requester, wanted)}}


def _wanted(category: _RoomEvents, next_batch: str | None) -> Wanted:
    if category.order_by not in ("rank", "recent"):
        raise bad_json("`order_by` must be `rank` or `recent`")
    keys = list(KEYS) if category.keys is None else category.keys
    if not all(key in KEYS for key in keys):
        raise bad_json(f"`keys` must be of {', '.join(KEYS)}")
    groups = [group.key for group in category.groupings.group_by] if category.groupings else []
    if not all(key in GROUP_KEYS for key in groups):
        raise bad_json(f"Results can be grouped by {' and '.join(GROUP_KEYS)}")
    if len(category.search_term) > MAXIMUM_TERM:
        raise invalid_param(f"`search_term` has at most {MAXIMUM_TERM} characters")
    filter = parse_room_event_filter(category.filter or {})
    return Wanted(
        term=category.search_term,
        keys=keys,
        filter=filter,
        limit=max(1, filter.bounded_limit(maximum=MAXIMUM_RESULTS)),
        by_rank=category.order_by == "rank",
        context=None if category.event_context is None else _context(category.event_context),
        include_state=category.include_state,
        group_by=list(dict.fromkeys(groups)),
        place=parse_place(next_batch),
    )


def _context(wanted: _Around) -> Around:
    if min(wanted.before_limit, wanted.after_limit) < 0:
        raise invalid_param("`before_limit` and `after_limit` must not be negative")
    return Around(
        min(wanted.before_limit, MAXIMUM_AROUND), min(wanted.after_limit, MAXIMUM_AROUND), wanted.include_profile
    )
