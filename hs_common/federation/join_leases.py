"""That a room is being joined stands in the database as long as whoever joins it lives, and says so.

Rules: an attempt that has not said so for a while is taken for dead: another may begin, and what it has stored is swept
away. So it must not go on when it finds that it was.
"""

from typing import Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import federated_rooms
from hs_common.storage.queries import DatabaseError, Queries

HELD_S: Final = 60.0
"""After its process died an attempt stands in the way of others so long."""
RENEW_S: Final = 15.0
LONGEST_S: Final = 1_800.0
"""Of one attempt, from the template on; the state of the largest rooms takes minutes to tell and to check."""

_log = Logger()


class JoinLease:
    """Of one attempt, which has begun just now. `start` and `stop` it."""

    def __init__(self, db: Queries, clock: Clock, room_id: str, attempt: str) -> None:
        self._db = db
        self._clock = clock
        self._room_id = room_id
        self._attempt = attempt
        self._is_lost = False
        self._ends_at = clock.seconds() + LONGEST_S
        self._holding = Ongoing(clock, "holding the join of a room", self._hold)

    def start(self) -> None:
        self._holding.start()

    def stop(self) -> None:
        self._holding.stop()

    def check(self) -> None:
        """Raises MatrixError when the attempt must not go on."""
        if self._is_lost:
            raise MatrixError(504, "M_UNKNOWN", "The room could not be joined in time. Try again")

    async def _hold(self) -> None:
        while not self._is_lost:
            await pause(self._clock, RENEW_S)
            try:
                self._is_lost = self._clock.seconds() >= self._ends_at or not await federated_rooms.go_on_joining(
                    self._db, self._room_id, self._attempt, HELD_S
                )
            except DatabaseError as error:
                _log.warn("the join of {room} cannot be held: {error}", room=self._room_id, error=error)
        _log.warn("the join of {room} has taken too long, or was given up", room=self._room_id)
