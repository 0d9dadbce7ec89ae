"""What a client asks of /sync: the query parameters, checked. Pure.

Spec: client-server API, #get_matrixclientv3sync.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from hs_common.http.request import Query
from hs_common.matrix.errors import MatrixError, bad_json, invalid_param
from hs_common.matrix.filters import EVERYTHING, Filter, parse_filter
from hs_common.matrix.tokens import SyncToken, parse_sync_token

PRESENCES: Final = ("offline", "online", "unavailable")


class Reader(NamedTuple):
    """For whom an answer is. `device_id` is None for an application service that acts without a device."""

    user_id: str
    device_id: str | None
    token_hash: bytes = b""


class Wishes(NamedTuple):
    """The parameters that shape an answer."""

    filter: Filter = EVERYTHING
    full_state: bool = False
    use_state_after: bool = False

    @property
    def lazy(self) -> bool:
        """Whether members are loaded lazily."""
        return self.filter.room.state.lazy_load_members


@dataclass(frozen=True, slots=True)
class Parameters:
    """All parameters but the filter, which may have to be looked up."""

    since: SyncToken | None
    full_state: bool
    use_state_after: bool
    timeout_s: float
    set_presence: str
    filter: str | None

    @property
    def waits(self) -> bool:
        """Whether the client waits for news. Full state is answered at once, and so is a first sync."""
        return self.since is not None and not self.full_state and self.timeout_s > 0


def parse(query: Query, maximum_timeout_ms: int) -> Parameters:
    """`maximum_timeout_ms`: the longest wait; a client that asks for more only asks again. Raises M_INVALID_PARAM."""
    since = query.string("since", None)
    presence = query.string("set_presence", "online")
    if presence not in PRESENCES:
        raise invalid_param(f"set_presence must be one of {', '.join(PRESENCES)}")
    timeout_ms = query.integer("timeout", 0)
    if timeout_ms < 0:
        raise invalid_param("timeout must not be negative")
    return Parameters(
        since=None if since is None else parse_sync_token(since),
        full_state=query.boolean("full_state", False),
        use_state_after=query.boolean("use_state_after", False),
        timeout_s=min(timeout_ms, maximum_timeout_ms) / 1000,
        set_presence=presence,
        filter=query.string("filter", None),
    )


def is_inline(filter: str) -> bool:
    """Whether the parameter is a filter itself, not the id of one: decided by its first character."""
    return filter.startswith("{")


def inline_filter(filter: str) -> Filter:
    """Raises M_BAD_JSON, M_INVALID_PARAM."""
    try:
        return parse_filter(orjson.loads(filter))
    except orjson.JSONDecodeError as error:
        raise bad_json("The filter is not JSON") from error


def unknown_filter(filter_id: str) -> MatrixError:
    """The error for the id of a filter that the user never defined."""
    return invalid_param(f"There is no filter {filter_id[:80]!r}")
