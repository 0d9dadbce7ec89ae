"""Rooms as those are told of them who are not in them: in directories, spaces and previews; and who may be told.

For many rooms at once, in a few statements. What other servers tell of rooms that this one is not in is not here.

Spec: client-server API, #published-room-directory, #get_matrixclientv1roomsroomidhierarchy, #room-previews.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hs_common.matrix.join_rules import allowed_rooms, is_knockable, is_restricted
from hs_common.matrix.room_texts import plain_topic, text_of
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.spaces import SPACE
from hs_common.storage import room_directory, room_members, room_summaries
from hs_common.storage.queries import Queries

Content = Mapping[str, Any]
Json = dict[str, Any]

CREATE: Final = "m.room.create"
JOIN_RULES: Final = "m.room.join_rules"
VISIBILITY: Final = "m.room.history_visibility"
ENCRYPTION: Final = "m.room.encryption"
MEGOLM: Final = "m.megolm.v1.aes-sha2"
DECIDING_TYPES: Final = (CREATE, JOIN_RULES, VISIBILITY)
"""State that decides who may hear of a room."""
SHOWN_TYPES: Final = (
    *DECIDING_TYPES,
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.guest_access",
)
"""State that the directory shows; summaries show the encryption besides."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands to a room. `version` is None for a room that is not known here; `is_here`: this server is in
    it, so that what is known is how it is. `contents`: of the deciding state, by event type."""

    room_id: str
    version: RoomVersion | None
    membership: str | None = None
    is_here: bool = False
    stripped_state: str | None = None
    contents: Mapping[str, Content] = field(default_factory=dict)

    @property
    def is_space(self) -> bool:
        return self.contents.get(CREATE, {}).get("type") == SPACE

    @property
    def is_open(self) -> bool:
        """Whether everybody may hear of the room: it can be joined or knocked at, or read by anybody."""
        join_rule = self.contents.get(JOIN_RULES, {}).get("join_rule")
        if join_rule == "public" or self.contents.get(VISIBILITY, {}).get("history_visibility") == "world_readable":
            return True
        return self.version is not None and is_knockable(join_rule, self.version)

    @property
    def letting_in(self) -> list[str]:
        """The rooms whose members may join, if the room is restricted."""
        content = self.contents.get(JOIN_RULES, {})
        if self.version is None or not is_restricted(content.get("join_rule"), self.version):
            return []
        return allowed_rooms(content)


class RoomSummaries:
    """Reads summaries and standings. `joined` counts the members of rooms."""

    def __init__(
        self, db: Queries, server_name: str, joined: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
    ) -> None:
        self._db = db
        self._server_name = server_name
        self._joined = joined

    async def standings(self, room_ids: Sequence[str], user_id: str) -> dict[str, Standing]:
        """How a user stands to each of the rooms; '' is somebody without an account."""
        contents = await self._contents(room_ids, DECIDING_TYPES)
        return {
            room_id: Standing(
                room_id,
                None if version is None else ROOM_VERSIONS[version],
                membership,
                is_here,
                stripped_state,
                contents.get(room_id, {}),
            )
            for room_id, version, membership, is_here, stripped_state in await room_summaries.standings(
                self._db, room_ids, user_id, self._server_name
            )
        }

    async def accessible(self, standings: Iterable[Standing], user_id: str) -> set[str]:
        """The rooms that the user may hear of: he is in them or invited, could join or knock, or may read them."""
        found: set[str] = set()
        doubtful: dict[str, list[str]] = {}
        for standing in standings:
            if standing.membership in ("join", "invite"):
                found.add(standing.room_id)
            elif standing.membership == "ban":
                continue
            elif standing.is_open:
                found.add(standing.room_id)
            elif standing.letting_in:
                doubtful[standing.room_id] = standing.letting_in
        if doubtful:
            named = {room_id for rooms in doubtful.values() for room_id in rooms}
            entered = await room_members.joined_among(self._db, user_id, list(named))
            found |= {room_id for room_id, rooms in doubtful.items() if not entered.isdisjoint(rooms)}
        return found

    async def summaries(self, room_ids: Sequence[str]) -> dict[str, Json]:
        """The summaries of those of the rooms that are known here."""
        if not room_ids:
            return {}
        counts = await self._joined(room_ids)
        contents = await self._contents(list(counts), (*SHOWN_TYPES, ENCRYPTION))
        return {room_id: summary(room_id, counts[room_id], contents.get(room_id, {})) for room_id in counts}

    async def _contents(self, room_ids: Sequence[str], types: Sequence[str]) -> dict[str, dict[str, Content]]:
        contents: dict[str, dict[str, Content]] = {}
        for room_id, event_type, json in await room_directory.described(self._db, room_ids, types):
            contents.setdefault(room_id, {})[event_type] = orjson.loads(json)["content"]
        return contents


def published(room_id: str, joined: int, contents: Mapping[str, Content]) -> Json:
    """A PublishedRoomsChunk; `contents`: of the room's state by event type."""
    room: Json = {
        "room_id": room_id,
        "num_joined_members": joined,
        "world_readable": text_of(contents.get(VISIBILITY, {}), "history_visibility") == "world_readable",
        "guest_can_join": text_of(contents.get("m.room.guest_access", {}), "guest_access") == "can_join",
        "join_rule": text_of(contents.get(JOIN_RULES, {}), "join_rule") or "invite",
    }
    optional = {
        "name": text_of(contents.get("m.room.name", {}), "name"),
        "topic": plain_topic(contents.get("m.room.topic", {})),
        "avatar_url": text_of(contents.get("m.room.avatar", {}), "url"),
        "canonical_alias": text_of(contents.get("m.room.canonical_alias", {}), "alias"),
        "room_type": text_of(contents.get(CREATE, {}), "type"),
    }
    return {**room, **{key: value for key, value in optional.items() if value}}


def summary(room_id: str, joined: int, contents: Mapping[str, Content]) -> Json:
    """A RoomSummary: what the directory shows, and what one has to know to join."""
    room = published(room_id, joined, contents)
    room["room_version"] = text_of(contents.get(CREATE, {}), "room_version") or "1"
    # Only this algorithm is specified; a room with another one is encrypted in a way that nobody can name.
    if text_of(contents.get(ENCRYPTION, {}), "algorithm") == MEGOLM:
        room["encryption"] = MEGOLM
    version = ROOM_VERSIONS.get(room["room_version"])
    rules = contents.get(JOIN_RULES, {})
    if version is not None and is_restricted(rules.get("join_rule"), version):
        room["allowed_room_ids"] = allowed_rooms(rules)
    return room
