"""Who of the users with pushers is in which room, at which positions: read once for a room, then kept up by the log.

Of a room with tens of thousands of members only those are kept who have a pusher here; events visit nobody else.
"""

from collections.abc import Callable, Collection
from typing import Final

from hs_common.bounded import Bounded
from hs_common.replication.items import LocalMembership
from hs_common.storage import push_queue
from hs_common.storage.queries import Queries

MAXIMUM_ROOMS: Final = 20_000  # those with something new last; an entry has some hundred bytes and more
STILL_SO: Final = 2**63 - 1

# user → intervals [from, to) in which he is joined
_Members = dict[str, list[tuple[int, int]]]


class RoomMembers:
    """`shards` are those held; `after` is the position from which on memberships are known, as rooms are read."""

    def __init__(self, db: Queries, shards: Callable[[], Collection[int]], after: Callable[[], int]) -> None:
        self._db = db
        self._shards = shards
        self._after = after
        self._rooms = Bounded[str, _Members](MAXIMUM_ROOMS)

    def __len__(self) -> int:
        return len(self._rooms)

    async def at(self, room_id: str, pos: int, state_pos: int) -> list[str]:
        """Users who are in the room at a position, and were so as its sender saw it."""
        members = self._rooms.get(room_id)
        if members is None:
            members = {}
            for user_id, start, end in await push_queue.members(self._db, room_id, list(self._shards()), self._after()):
                members.setdefault(user_id, []).append((start, end))
            self._rooms[room_id] = members
        self._rooms.move_to_end(room_id)
        return [
            user_id
            for user_id, spans in members.items()
            if any(start <= state_pos and start < pos < end for start, end in spans)
        ]

    def changed(self, room_id: str, membership: LocalMembership, pos: int) -> None:
        """A user with pushers here has another membership from a position on."""
        members = self._rooms.get(room_id)
        if members is None:
            return
        spans = members.setdefault(membership.user_id, [])
        if any(start >= pos for start, _ in spans):
            return  # what was read knew it already
        spans[:] = [(start, min(end, pos)) for start, end in spans if end >= pos]
        if membership.membership == "join":
            spans.append((pos, STILL_SO))
        if not spans:
            del members[membership.user_id]

    async def add_user(self, user_id: str) -> None:
        """A user has his first pusher."""
        for room_id, start, end in await push_queue.joins_of(self._db, user_id, self._after()):
            if room_id in self._rooms:
                spans = self._rooms[room_id].setdefault(user_id, [])
                if (start, end) not in spans:
                    spans.append((start, end))

    def remove_user(self, user_id: str) -> None:
        """A user has no pusher any more."""
        for members in self._rooms.values():
            members.pop(user_id, None)

    def forget_room(self, room_id: str) -> None:
        """The room was deleted."""
        self._rooms.pop(room_id, None)

    def forget(self) -> None:
        """Other shards are held, or the log began anew."""
        self._rooms.clear()
