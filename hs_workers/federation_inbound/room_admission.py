"""What a room is to a server that asks about it: whether we are in it, in which version, and whether it is kept out.

Facts are kept for a second, since a busy room is asked about with each transaction, and dropped when the log tells of
another list. Only a *yes* comes from what is kept: who is to be refused is looked up anew. What is asked for while a
look-up is under way is looked up together, right after it.

Spec: server-server API, #server-access-control-lists-acls.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from hs_common.bounded import Bounded
from hs_common.federation.fetching import Room
from hs_common.matrix.errors import not_found
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.server_acl import SERVER_ACL, ServerAcl, denied
from hs_common.replication.room_settings import settings_subscription
from hs_common.replication.subscription import Subscription
from hs_common.storage import federated_rooms
from hs_common.storage.federated_rooms import RoomFacts
from hs_common.storage.queries import Queries
from hs_common.storage.shared_reads import SharedReads

KEPT_S: Final = 1.0
MAXIMUM_KEPT: Final = 2_000
"""Rooms; an access control list may have 60 kB."""


@dataclass(frozen=True, slots=True)
class RoomStanding:
    """`version` is also known of a room that is just being joined. `acl` None: everybody may take part."""

    version: RoomVersion | None
    joined: bool
    joining: bool
    acl: ServerAcl | None

    def allows(self, server: str) -> bool:
        return self.acl is None or self.acl.allows(server)


class RoomAdmission:
    """Looks at rooms for other servers. `seconds`: a clock that never goes back."""

    def __init__(self, db: Queries, server_name: str, seconds: Callable[[], float]) -> None:
        self._db = db
        self._server_name = server_name
        self._seconds = seconds
        self._kept = Bounded[str, tuple[float, RoomStanding]](MAXIMUM_KEPT)
        self._changes = 0  # how often another list was told of
        self._reads = SharedReads(lambda room_ids: self._look_up_now(room_ids))

    async def standings(self, room_ids: Collection[str], origin: str) -> dict[str, RoomStanding]:
        """How each of the rooms stands, known here or not."""
        now = self._seconds()
        found = {}
        for room_id in room_ids:
            kept = self._kept.get(room_id)
            if kept is not None and now - kept[0] < KEPT_S and kept[1].joined and kept[1].allows(origin):
                found[room_id] = kept[1]
        others = [room_id for room_id in room_ids if room_id not in found]
        if others:
            found |= await self._reads.read_many(others)
        return found

    async def _look_up_now(self, room_ids: Sequence[str]) -> Mapping[str, RoomStanding]:
        now, changes = self._seconds(), self._changes
        facts = await federated_rooms.room_facts(self._db, self._server_name, room_ids)
        looked = {room_id: standing_of(one) for room_id, one in facts.items()}
        # Else it may have been read as it was before a change: who asks next looks again.
        if changes == self._changes:
            for room_id, standing in looked.items():
                self._kept[room_id] = (now, standing)
        return looked

    async def room(self, room_id: str, origin: str) -> Room:
        """A room that this server is in and `origin` may take part in. 404 `M_NOT_FOUND`, 403 `M_FORBIDDEN`."""
        self._kept.pop(room_id, None)  # who asks seldom is answered as things are now
        standing = (await self.standings([room_id], origin))[room_id]
        if not standing.joined or standing.version is None:
            raise not_found("This server is not in the room")
        if not standing.allows(origin):
            raise denied(origin)
        return Room(room_id, standing.version)

    def subscription(self) -> Subscription:
        """For the process' follower."""
        return settings_subscription("access control lists", SERVER_ACL, self.forget, self._forget_all)

    def forget(self, room_id: str) -> None:
        """What is known of the room may have changed."""
        self._changes += 1
        self._kept.pop(room_id, None)

    def _forget_all(self) -> None:
        self._changes += 1
        self._kept.clear()


def standing_of(facts: RoomFacts) -> RoomStanding:
    """The facts, parsed."""
    version = ROOM_VERSIONS.get(facts.version or facts.joining or "")
    acl = None if facts.acl is None else ServerAcl(orjson.loads(facts.acl)["content"])
    return RoomStanding(version, facts.joined, facts.joining is not None, acl)
