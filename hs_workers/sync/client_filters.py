"""The filters that clients name, parsed once. A filter's id is a hash of it, so what an id means never changes."""

from typing import Final

import orjson

from hs_common.bounded import Bounded
from hs_common.matrix.filters import EVERYTHING, Filter, parse_filter
from hs_common.storage.filters import filter_json
from hs_common.storage.queries import Queries
from hs_workers.sync.parameters import inline_filter, is_inline, unknown_filter

MAXIMUM_FILTERS: Final = 2_000  # few distinct ones are in use: most clients of a kind have the same
LONGEST_KEPT: Final = 4_096  # characters of an inline filter that is remembered


class ClientFilters:
    """What the parameter `filter` means."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._known = Bounded[tuple[str, str], Filter](MAXIMUM_FILTERS)
        # By what they say: clients of a kind define the same, and what is encoded by one filter is so for all of them.
        self._alike = Bounded[str, Filter](MAXIMUM_FILTERS)

    async def of(self, user_id: str, parameter: str | None) -> Filter:
        """Raises M_INVALID_PARAM, M_BAD_JSON."""
        known = self.known(user_id, parameter)
        if known is not None or not parameter:
            return known or EVERYTHING
        filter = inline_filter(parameter) if is_inline(parameter) else await self._stored(user_id, parameter)
        if len(parameter) <= LONGEST_KEPT:
            self._known[_key(user_id, parameter)] = filter
        return filter

    def known(self, user_id: str, parameter: str | None) -> Filter | None:
        """The same from memory; None if it is not there."""
        if not parameter:
            return EVERYTHING
        key = _key(user_id, parameter)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    async def _stored(self, user_id: str, filter_id: str) -> Filter:
        json = await filter_json(self._db, user_id, filter_id)
        if json is None:
            raise unknown_filter(filter_id)
        filter = self._alike.get(json)
        if filter is None:
            filter = self._alike[json] = parse_filter(orjson.loads(json))
        return filter


def _key(user_id: str, parameter: str) -> tuple[str, str]:
    return ("", parameter) if is_inline(parameter) else (user_id, parameter)
