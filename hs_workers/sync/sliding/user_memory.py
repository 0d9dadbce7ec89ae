"""What a reader's lists are made of that is his own: memberships, which rooms are direct, tags. Kept in memory until
the log says that something of it changed. Bounded by users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeGuard

import orjson

from hs_common.bounded import Bounded
from hs_common.replication import items
from hs_common.storage import account_data, sliding, sync_rooms
from hs_common.storage.queries import Queries
from hs_workers.sync.windows import Membership

MAXIMUM_USERS: Final = 5_000  # of one worker; one in 2,000 rooms takes about a MiB
DIRECT: Final = "m.direct"
TAG: Final = "m.tag"
NOT_IN: Final[Sequence[str]] = ("leave", "ban")


@dataclass(frozen=True)
class UserRooms:
    """`memberships`: those that hold, by room, in the order of the rooms' ids. `direct`: the rooms that are direct
    chats, by account data. What each answer asks of them is found out once: they may be thousands."""

    memberships: Mapping[str, Membership]
    direct: frozenset[str]
    tags: Mapping[str, frozenset[str]]

    @cached_property
    def joined(self) -> Mapping[str, None]:
        """The rooms that he is in, in order."""
        return dict.fromkeys(room_id for room_id, row in self.memberships.items() if row.membership == "join")

    @cached_property
    def out(self) -> Sequence[Membership]:
        """Those of the rooms that he left, or was put out of."""
        return [row for row in self.memberships.values() if row.membership in NOT_IN]

    @cached_property
    def with_state(self) -> Sequence[str]:
        """The rooms that he is or was in."""
        return [room_id for room_id, row in self.memberships.items() if row.membership in ("join", *NOT_IN)]


async def read_user_rooms(db: Queries, user_id: str, at: int) -> UserRooms:
    """From the database, memberships as they are at a position."""
    rows = [Membership(*row) for row in await sync_rooms.memberships(db, user_id, at, at)]
    direct = await account_data.account_data(db, user_id, "", DIRECT)
    tags = {room_id: tags_of(content) for room_id, content in await sliding.tags(db, user_id)}
    rows.sort(key=lambda row: row.room_id)
    return UserRooms({row.room_id: row for row in rows}, direct_rooms(None if direct is None else direct[0]), tags)


def direct_rooms(content: str | bytes | None) -> frozenset[str]:
    """The rooms that m.direct names; what is malformed is none."""
    parsed = {} if content is None else orjson.loads(content)
    lists = [rooms for rooms in parsed.values() if isinstance(rooms, list)]
    return frozenset(room_id for rooms in lists for room_id in rooms if isinstance(room_id, str))


def tags_of(content: str | bytes) -> frozenset[str]:
    """The tags that m.tag of a room names."""
    tags = orjson.loads(content).get("tags")
    return frozenset(tags) if isinstance(tags, dict) else frozenset()


def _is_list_data(item: items.Item) -> TypeGuard[items.AccountDataItem]:
    return isinstance(item, items.AccountDataItem) and item.type == (TAG if item.room_id else DIRECT)


class UserMemory:
    """User → rooms."""

    def __init__(self, db: Queries, maximum: int = MAXIMUM_USERS) -> None:
        self._db = db
        self._known = Bounded[str, UserRooms](maximum)
        self._reading: dict[str, int] = {}
        self._changed: set[str] = set()  # of those being read

    def known(self, user_id: str) -> UserRooms | None:
        """As they are at this process' position, if they are remembered."""
        return self._known.get(user_id)

    async def read(self, user_id: str, at: int) -> bool:
        """Reads what is not known, as it is at this process' position. Whether there was any."""
        if user_id in self._known:
            self._known.move_to_end(user_id)
            return False
        self._reading[user_id] = self._reading.get(user_id, 0) + 1
        try:
            found = await read_user_rooms(self._db, user_id, at)
        finally:
            self._reading[user_id] -= 1
            is_last = not self._reading[user_id]
            if is_last:
                del self._reading[user_id]
        if user_id not in self._changed:  # else what was read may be older than what the log said meanwhile
            self._known[user_id] = found
        if is_last:
            self._changed.discard(user_id)
        return True

    def apply(self, item: items.Item) -> None:
        """An item of the log."""
        if isinstance(item, items.EventItem):
            self.drop([one.user_id for one in item.memberships])
            self.drop(
                [one.state_key for one in item.changes if one.old_membership is not None and not one.new_event_id]
            )
        elif isinstance(item, items.MembershipItem):
            self.drop([item.membership.user_id])
        elif isinstance(item, items.ForgetItem) or _is_list_data(item):
            self.drop([item.user_id])

    def drop(self, user_ids: Sequence[str]) -> None:
        """Something of these users changed."""
        for user_id in user_ids:
            self._known.pop(user_id, None)
            if user_id in self._reading:
                self._changed.add(user_id)

    def forget(self) -> None:
        """The log began anew."""
        self._known.clear()
        self._changed.update(self._reading)
