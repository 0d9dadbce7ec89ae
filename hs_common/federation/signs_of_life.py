"""Other servers that ask something of us while ours to them fail: they can be reached again, so senders are told.

Rules: a server is looked up once in a while only, however much it asks. Must not know who sends.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix.errors import MatrixError
from hs_common.replication.federation_calls import WakeDestinations
from hs_common.replication.link_interface import Link
from hs_common.storage import destinations
from hs_common.storage.queries import DatabaseError, Queries

LOOK_INTERVAL_S: Final = 15.0
"""Between two look-ups of one server."""
KEPT: Final = 20_000

_log = Logger()


class SignsOfLife:
    """`seconds` is a clock that never goes back; `background` runs what nobody waits for."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        seconds: Callable[[], float],
        background: Callable[[str, Coroutine[Any, Any, None]], None],
    ) -> None:
        self._db = db
        self._master = master
        self._seconds = seconds
        self._background = background
        self._looked = Bounded[str, float](KEPT)

    @property
    def has_heard(self) -> bool:
        """Whether any server was there since the process began."""
        return bool(self._looked)

    def heard(self, server: str) -> None:
        """A server proved to be there."""
        now = self._seconds()
        if now - self._looked.get(server, float("-inf")) < LOOK_INTERVAL_S:
            return
        self._looked[server] = now
        self._background("a server that is there again", self._tell(server))

    async def _tell(self, server: str) -> None:
        try:
            if await destinations.is_failing(self._db, server):
                await self._master.call(WakeDestinations(destinations=[server]))
        except (DatabaseError, MatrixError) as error:
            _log.info("{server} is tried again later: {error}", server=server, error=error)
