"""What has to be known of a user and a room before the user joins, read for all who join at the same moment.

A bridge's ghosts come by the thousand, many into one room: its state is read and parsed once for all of them.

Spec: client-server API, #joining-rooms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.room_power import State
from hs_common.storage import newcomers
from hs_common.storage.queries import Queries
from hs_common.storage.shared_reads import SharedReads
from hs_workers.client.room.admission import STATE_LOOKED_AT

MEMBER: Final = "m.room.member"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Of a user who wants to join a room. `state` is None if the room is not known here."""

    is_here: bool
    """Whether this server is in the room."""
    state: State | None
    """The places of the room's state that a join looks at, the user's own membership among them."""
    profile: dict[str, Any]
    """What of it stands in the join: `displayname` and `avatar_url`, where set."""


class Newcomers:
    """Reads for those who join. `server_name` is this server's."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name
        self._reads = SharedReads(self._read)

    async def of(self, room_id: str, user_id: str) -> Newcomer:
        """As of now."""
        found = await self._reads.read((room_id, user_id))
        assert found is not None, "every pair is answered"
        return found

    async def _read(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Newcomer]:
        rooms = await self._rooms([*dict.fromkeys(room_id for room_id, _ in pairs)])
        found = {}
        for room_id, user_id, event_id, encoded, name, avatar in await newcomers.persons(self._db, pairs):
            version, is_here, state = rooms.get(room_id, (None, False, None))
            if version is not None and event_id is not None:
                state = {**(state or {}), (MEMBER, user_id): _event(version, event_id, encoded)}
            fields = {"displayname": name, "avatar_url": avatar}
            profile = {field: orjson.loads(value) for field, value in fields.items() if value is not None}
            found[room_id, user_id] = Newcomer(is_here, state, profile)
        return found

    async def _rooms(self, room_ids: Sequence[str]) -> dict[str, tuple[str, bool, State]]:
        found: dict[str, tuple[str, bool, State]] = {}
        rows = await newcomers.rooms(self._db, room_ids, STATE_LOOKED_AT, self._server_name)
        for room_id, version, is_here, event_type, state_key, event_id, encoded in rows:
            _, _, state = found.setdefault(room_id, (version, is_here, {}))
            if event_id is not None:
                state[event_type, state_key] = _event(version, event_id, encoded)
        return found


def _event(version: str, event_id: str, encoded: str) -> Event:
    return Event.from_pdu(orjson.loads(encoded), ROOM_VERSIONS[version], event_id)
