"""The parameters that the endpoints with pages of events have in common.

Spec: client-server API, #pagination.
"""

from typing import Final

import orjson

from hs_common.http.request import Query
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.filters import RoomEventFilter, parse_room_event_filter
from hs_common.matrix.tokens import RoomToken, parse_room_token
from hs_workers.client.room.pages import EVERYTHING

DEFAULT_LIMIT: Final = 10
"""Of /messages and /context: the specification's."""


def room_token(query: Query, name: str) -> RoomToken | None:
    """A token of this server. 400 `M_INVALID_PARAM`."""
    token = query.string(name, None)
    return None if not token else parse_room_token(token)


def is_forwards(query: Query, default: str | None = None) -> bool:
    """Whether `dir` is `f`. 400 `M_MISSING_PARAM`, `M_INVALID_PARAM`."""
    direction = query.string("dir") if default is None else query.string("dir", default)
    if direction not in ("b", "f"):
        raise invalid_param("`dir` must be `b` or `f`")
    return direction == "f"


def event_filter(query: Query) -> RoomEventFilter:
    """The `filter`, which is JSON. 400 `M_BAD_JSON`, `M_INVALID_PARAM`."""
    text = query.string("filter", None)
    if not text:
        return EVERYTHING
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_json("The filter is not JSON") from error
    return parse_room_event_filter(value)
