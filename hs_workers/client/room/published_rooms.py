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
from hs_common.storage import appservices, room_directory
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 5_000
"""Rooms of the directory that are looked at, the largest: each search reads all their names."""
TYPES: Final = (
    "m.room.create",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
)
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

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def find(self, search: Search) -> dict[str, Any]:
        """The answer of `/publicRooms`. 400 `M_INVALID_PARAM` for a token that is not of this server."""
        forwards, place = _parse(search.since)
        counts = await self._counts(search)
        searched = bool(search.term) or search.room_types is not None
        rooms = await self._described(counts) if searched else {}
        found = [room_id for room_id in counts if not searched or _matches(rooms[room_id], search)]
        places = [(-counts[room_id], room_id) for room_id in found]
        start, end = _bounds(places, place, forwards, search.limit)
        page = found[start:end]
        described = rooms if searched else await self._described({room_id: counts[room_id] for room_id in page})
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
        own = [] if search.network else await room_directory.published_rooms(self._db, MAXIMUM_ROOMS)
        if search.network is None and not search.all_networks:
            return dict(own)
        named = await appservices.published_rooms(self._db, *(search.network or (None, None)))
        others = await room_directory.rooms_with_members(self._db, named, MAXIMUM_ROOMS) if named else []
        return dict(sorted({*own, *others}, key=lambda row: (-row[1], row[0])))

    async def _described(self, counts: dict[str, int]) -> dict[str, Room]:
        contents: dict[str, dict[str, Any]] = {room_id: {} for room_id in counts}
        for room_id, event_type, json in await room_directory.described(self._db, list(counts), TYPES):
            contents[room_id][event_type] = orjson.loads(json)["content"]
        return {room_id: published(room_id, counts[room_id], contents[room_id]) for room_id in counts}


def published(room_id: str, joined: int, contents: dict[str, Any]) -> Room:
    """A PublishedRoomsChunk; `contents`: of the room's state by event type."""
    room: Room = {
        "room_id": room_id,
        "num_joined_members": joined,
        "world_readable": _text(contents, "m.room.history_visibility", "history_visibility") == "world_readable",
        "guest_can_join": _text(contents, "m.room.guest_access", "guest_access") == "can_join",
        "join_rule": _text(contents, "m.room.join_rules", "join_rule") or "invite",
    }
    optional = {
        "name": _text(contents, "m.room.name", "name"),
        "topic": plain_topic(contents.get("m.room.topic", {})),
        "avatar_url": _text(contents, "m.room.avatar", "url"),
        "canonical_alias": _text(contents, "m.room.canonical_alias", "alias"),
        "room_type": _text(contents, "m.room.create", "type"),
    }
    return {**room, **{key: value for key, value in optional.items() if value}}


def plain_topic(content: dict[str, Any]) -> str | None:
    """The plain text of a topic: of `m.topic` if there is one, else of `topic`. Spec: #mroomtopic."""
    block = content.get("m.topic")
    texts = block.get("m.text") if isinstance(block, dict) else None
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, dict) and text.get("mimetype", "text/plain") == "text/plain":
            body = text.get("body")
            if isinstance(body, str):
                return body
    topic = content.get("topic")
    return topic if isinstance(topic, str) else None


def _matches(room: Room, search: Search) -> bool:
    if search.room_types is not None and room.get("room_type") not in search.room_types:
        return False
    term = search.term.casefold()
    return any(term in str(room.get(key, "")).casefold() for key in ("name", "topic", "canonical_alias"))


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


def _text(contents: dict[str, Any], event_type: str, key: str) -> str | None:
    value = contents.get(event_type, {}).get(key)
    return value if isinstance(value, str) else None
