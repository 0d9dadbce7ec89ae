"""The published room directory: rooms as strangers are told of them, searched and in pages.

The largest rooms come first, equally large ones by room id. A page begins after (or ends before) a place in that order,
so a room that grows meanwhile may be seen twice or not at all, but nothing else is shifted.

Spec: client-server API, #published-room-directory.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.errors import invalid_param
from hs_common.reading.directory_memory import SEARCHED_LENGTH, DirectoryMemory, SearchedRoom
from hs_common.reading.room_summaries import SHOWN_TYPES, published
from hs_common.storage import appservices, room_directory
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 5_000
"""Rooms of the directory that are looked at, the largest: each search looks at all their names."""
MAXIMUM_PUBLISHED: Final = 20_000
"""Rooms of the directory among which the largest are sought."""
_TOKEN: Final = re.compile(r"([fb])([0-9]{1,9})~(!.{1,254})")

Room = dict[str, Any]
Place = tuple[int, str]
"""(minus the joined members, room id): rooms are in the order of these."""


@dataclass(frozen=True, slots=True)
class Search:
    """What of the directory is wanted. `room_types`: None in it stands for rooms without a type. `network`: of the
    directory of an application service's network, by (service, network), instead of the server's own."""

    limit: int
    since: str | None = None
    term: str = ""
    room_types: Sequence[str | None] | None = None
    network: tuple[str, str] | None = None
    all_networks: bool = False


class PublishedRooms:
    """Reads the directory of this server."""

    def __init__(self, db: Queries, memory: DirectoryMemory) -> None:
        self._db = db
        self._memory = memory

    async def find(self, search: Search) -> dict[str, Any]:
        """The answer of `/publicRooms`. 400 `M_INVALID_PARAM` for a token that is not of this server."""
        forwards, place = _parse(search.since)
        counts = await self._counts(search)
        found = list(counts)
        if search.term or search.room_types is not None:
            found = _matching(await self._memory.searched(found), search)
        places = [(-counts[room_id], room_id) for room_id in found]
        start, end = _bounds(places, place, forwards, search.limit)
        page = found[start:end]
        described = await self._described({room_id: counts[room_id] for room_id in page})
        answer: dict[str, Any] = {
            "chunk": [described[room_id] for room_id in page],
            "total_room_count_estimate": len(found),
        }
        if page and end < len(found):
            answer["next_batch"] = _token("f", places[end - 1])
        if page and start > 0:
            answer["prev_batch"] = _token("b", places[start])
        return answer

    async def _counts(self, search: Search) -> dict[str, int]:
        """Joined members by room, the largest first. Services' directories count if they are asked for."""
        rooms = [] if search.network else await room_directory.published_rooms(self._db, MAXIMUM_PUBLISHED)
        if search.network is not None or search.all_networks:
            named = await appservices.published_rooms(self._db, *(search.network or (None, None)))
            rooms = list(dict.fromkeys([*rooms, *named]))[:MAXIMUM_PUBLISHED]
        counts = await self._memory.joined(rooms)
        return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:MAXIMUM_ROOMS])

    async def _described(self, counts: dict[str, int]) -> dict[str, Room]:
        contents: dict[str, dict[str, Any]] = {room_id: {} for room_id in counts}
        for room_id, event_type, json in await room_directory.described(self._db, list(counts), SHOWN_TYPES):
            contents[room_id][event_type] = orjson.loads(json)["content"]
        return {room_id: published(room_id, counts[room_id], contents[room_id]) for room_id in counts}


def _matching(rooms: dict[str, SearchedRoom], search: Search) -> list[str]:
    term = search.term.casefold()
    if len(term) > SEARCHED_LENGTH:
        return []  # what is looked at is not longer
    room_types = None if search.room_types is None else frozenset(search.room_types)
    return [
        room_id
        for room_id, room in rooms.items()
        if (room_types is None or room.room_type in room_types)
        and (not term or any(term in text for text in room.texts))
    ]


def _bounds(places: list[Place], place: Place | None, forwards: bool, limit: int) -> tuple[int, int]:
    """Where a page begins and ends among the places."""
    if place is None:
        return 0, min(limit, len(places))
    if forwards:
        start = sum(1 for other in places if other <= place)
        return start, min(start + limit, len(places))
    end = sum(1 for other in places if other < place)
    return max(0, end - limit), end


def _parse(since: str | None) -> tuple[bool, Place | None]:
    if since is None:
        return True, None
    parsed = _TOKEN.fullmatch(since)
    if parsed is None:
        raise invalid_param("`since` is not a token of this server")
    return parsed[1] == "f", (-int(parsed[2]), parsed[3])


def _token(direction: str, place: Place) -> str:
    return f"{direction}{-place[0]}~{place[1]}"
