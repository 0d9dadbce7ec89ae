"""A walk over the rooms of a space, depth first, for one reader: a page of what he may hear of.

A token says how many rooms were told; the walk begins anew for each page and passes over these, so any worker can go
on. That costs ids and join rules of what is passed over, and a walk ends after `MAXIMUM_WALKED` rooms. Each room is
told once, wherever it is met first: so loops end too.

Spec: client-server API, #discovering-rooms-within-spaces.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.http.request import Requester
from hs_common.matrix.errors import forbidden
from hs_common.matrix.spaces import SPACE, Child, child_of, in_order
from hs_common.reading.room_summaries import RoomSummaries, Standing
from hs_common.storage import room_summaries
from hs_common.storage.queries import Queries
from hs_workers.client.room.elsewhere import Elsewhere, may_hear

MAXIMUM_WALKED: Final = 2_000
"""Rooms of one walk, those told on earlier pages included: what a page costs at most."""
MAXIMUM_CHILDREN: Final = 2_000
"""Children of one space that are looked at."""
LOOKED_UP_ONCE: Final = 100
"""Rooms whose join rules are read in one statement."""
MAXIMUM_ASKED: Final = 30
"""Rooms of one page for which other servers are asked."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a hierarchy. `told`: how many rooms earlier pages told."""

    suggested_only: bool
    max_depth: int
    limit: int
    told: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rooms as JSON; whether there are more."""

    rooms: Sequence[Json]
    is_last: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """A room to be visited, and how one came to it. `is_closed`: who told of it says that nobody here could get in."""

    room_id: str
    depth: int
    via: tuple[str, ...] = ()
    is_closed: bool = False


class Hierarchies:
    """Walks spaces."""

    def __init__(self, db: Queries, summaries: RoomSummaries, elsewhere: Elsewhere) -> None:
        self._db = db
        self._summaries = summaries
        self._elsewhere = elsewhere

    async def page(self, room_id: str, requester: Requester, wanted: Wanted) -> Page:
        """403 `M_FORBIDDEN` for a space that the requester may not hear of, known or not."""
        walk = _Walk(self._db, self._summaries, self._elsewhere, requester.user_id, wanted)
        found = await walk.run(room_id)
        if not found and wanted.told == 0:
            raise forbidden("You are not allowed to view this room")
        page = found[: wanted.limit]
        local = await self._summaries.summaries([room_id for room_id, _ in page])
        rooms = [{**local.get(room_id, {}), **told} for room_id, told in page]
        return Page(rooms, len(found) <= wanted.limit)


class _Walk:
    """One walk. What it finds: (room id, `children_state` and, of a room elsewhere, its summary)."""

    def __init__(
        self, db: Queries, summaries: RoomSummaries, elsewhere: Elsewhere, user_id: str, wanted: Wanted
    ) -> None:
        self._db = db
        self._summaries = summaries
        self._elsewhere = elsewhere
        self._user_id = user_id
        self._wanted = wanted
        self._waiting: list[_Place] = []
        self._standings: dict[str, Standing] = {}
        self._accessible: set[str] = set()
        self._remote: dict[str, Json] = {}
        self._asked = 0
        self._skip = wanted.told

    async def run(self, room_id: str) -> list[tuple[str, Json]]:
        """The rooms of the page, and one more if there are more."""
        self._waiting = [_Place(room_id, 0)]
        found: list[tuple[str, Json]] = []
        visited: set[str] = set()
        while self._waiting and len(found) <= self._wanted.limit and len(visited) < MAXIMUM_WALKED:
            place = self._waiting.pop()
            if place.room_id in visited or await self._is_closed(place):
                continue
            visited.add(place.room_id)
            told = await self._visit(place)
            if told is not None and self._skip > 0:
                self._skip -= 1
            elif told is not None:
                found.append((place.room_id, told))
        return found

    async def _visit(self, place: _Place) -> Json | None:
        """What is told of a room, None if nothing; its children are to be visited next."""
        standing = await self._standing(place)
        if standing.is_here:
            return await self._visit_here(place, standing)
        return await self._visit_elsewhere(place, standing)

    async def _visit_here(self, place: _Place, standing: Standing) -> Json | None:
        if place.room_id not in self._accessible:
            return None
        children: list[Child] = []
        if standing.is_space:
            rows = await room_summaries.children(self._db, place.room_id, MAXIMUM_CHILDREN)
            children = self._wanted_of([child_of(room_id, orjson.loads(json)) for room_id, json in rows])
            self._put(place, children)
        return {"children_state": [child.stripped for child in children]}

    async def _visit_elsewhere(self, place: _Place, standing: Standing) -> Json | None:
        """A room that this server is not in, as others tell of it."""
        told, closed = self._remote.get(place.room_id), frozenset[str]()
        has_children = told is None or told.get("room_type") == SPACE
        if has_children and self._asked < MAXIMUM_ASKED:
            self._asked += 1
            remote = await self._elsewhere.room(place.room_id, place.via, self._wanted.suggested_only)
            if remote is not None:
                told, closed = remote.summary, remote.inaccessible
                self._remote.update(remote.children)
        if told is None or not await may_hear(self._db, told, standing, self._user_id):
            return None
        stripped = told.get("children_state")
        events = stripped[:MAXIMUM_CHILDREN] if isinstance(stripped, list) else []
        children = self._wanted_of(
            [child_of(event.get("state_key"), event) for event in events if isinstance(event, Mapping)]
        )
        self._put(place, children, closed)
        return {**told, "children_state": [child.stripped for child in children]}

    async def _standing(self, place: _Place) -> Standing:
        if place.room_id not in self._standings:
            coming = [other.room_id for other in reversed(self._waiting[-LOOKED_UP_ONCE:])]
            unknown = [room_id for room_id in dict.fromkeys(coming) if room_id not in self._standings]
            found = await self._summaries.standings([place.room_id, *unknown], self._user_id)
            self._standings.update(found)
            self._accessible |= await self._summaries.accessible(found.values(), self._user_id)
        return self._standings[place.room_id]

    def _wanted_of(self, children: Sequence[Child | None]) -> list[Child]:
        named = [child for child in children if child is not None]
        return in_order(child for child in named if child.is_suggested or not self._wanted.suggested_only)

    async def _is_closed(self, place: _Place) -> bool:
        """Whether it is passed over; from another space one may come to it again."""
        if not place.is_closed:
            return False
        standing = await self._standing(place)
        return not standing.is_here and standing.membership != "invite"

    def _put(self, place: _Place, children: Sequence[Child], closed: Collection[str] = ()) -> None:
        if place.depth < self._wanted.max_depth:
            depth = place.depth + 1
            places = [_Place(child.room_id, depth, child.via, child.room_id in closed) for child in children]
            self._waiting += reversed(places)
