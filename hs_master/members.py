"""Who is in a room, for what is told without being decided: from memory, or from the tables where it is not there.

A room head may be dropped from memory at any time, so what it does not know means nothing. Must not know what for.
"""

from collections.abc import Mapping

from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries
from hs_common.storage.shared_reads import SharedReads
from hs_master.step import Knowledge

_Member = tuple[str, str]  # room, user


class Members:
    """Of one term of leadership. What is asked for at once is read by one statement."""

    def __init__(self, knowledge: Knowledge, db: Queries) -> None:
        self._knowledge = knowledge
        self._db = db
        self._reads: SharedReads[_Member, str] = SharedReads(self._memberships)

    def known(self, room_id: str, user_id: str) -> bool | None:
        """Whether the user is joined, as of the last commit; None: that is not in memory."""
        return self._knowledge.is_joined(room_id, user_id)

    async def is_joined(self, room_id: str, user_id: str) -> bool:
        """The same by the tables, as of after this call: commits may have changed it when this returns."""
        return await self._reads.read((room_id, user_id)) == "join"

    async def _memberships(self, members: list[_Member]) -> Mapping[_Member, str]:
        return await federated_rooms.memberships(self._db, members)
