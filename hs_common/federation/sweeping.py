"""What joins that failed have stored is removed: at once by who failed, else by whoever finds what was left behind.

The row of an attempt stays until all is gone, so nothing is forgotten when a process ends or the master is away.
"""

from typing import Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.clock import Clock, pause
from hs_common.replication.federation_calls import SweepStoredEvents, SweptEvents
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import DatabaseError, Queries

CALLS_LIMIT: Final = 2_000
"""For one join: more than the largest state needs."""
LOOK_S: Final = 60.0
FOUND_AT_ONCE: Final = 20
BULK: Final = CallOptions(lane="bulk")

_log = Logger()


async def sweep(db: Queries, master: Link, room_id: str, attempt: str) -> None:
    """Ends an attempt that failed. What cannot be done now is left to `AbandonedJoins`."""
    try:
        await federated_rooms.give_up_joining(db, room_id, attempt)
        for _ in range(CALLS_LIMIT):
            answer = await master.call(SweepStoredEvents(room_id=room_id, attempt=attempt), options=BULK)
            assert isinstance(answer, SweptEvents), "a call is answered by what it names"
            if answer.is_all:
                break
        await federated_rooms.end_joining(db, room_id, attempt)
    except (DatabaseError, MatrixError) as error:
        _log.warn("what a join of {room} has stored stays for now: {error}", room=room_id, error=error)


class AbandonedJoins:
    """Looks for attempts that nobody goes on with."""

    def __init__(self, db: Queries, master: Link, clock: Clock) -> None:
        self._db = db
        self._master = master
        self._clock = clock

    async def look_on(self) -> None:
        """Until it is cancelled."""
        while True:
            await pause(self._clock, LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Once."""
        try:
            found = await federated_rooms.abandoned_joins(self._db, FOUND_AT_ONCE)
        except DatabaseError as error:
            _log.warn("joins that failed cannot be looked for: {error}", error=error)
            return
        for room_id, attempt in found:
            await sweep(self._db, self._master, room_id, attempt)
