"""What all contents take together, asked for now and then: a limit of the whole storage needs no exact number, and
adding up all of it for each upload would cost more than the upload."""

from typing import Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import media_administration
from hs_common.storage.queries import DatabaseError, Queries

LOOK_AGAIN_S: Final = 60.0
"""What other workers store within it may go above the limit."""
REFUSED_LOOK_AGAIN_S: Final = 5.0
"""Once it is above the limit: what was deleted makes room after that."""


class StoredBytes:
    """Asked for only where it is `wanted`."""

    def __init__(self, db: Queries, clock: Clock, wanted: bool) -> None:
        self._db = db
        self._clock = clock
        self._wanted = wanted
        self._value = 0
        self._looked_s = clock.seconds()
        self._looking = Ongoing(clock, "looking how much media take", self._look_on)
        self._log = Logger()

    async def has_room(self, size: int, most: int) -> bool:
        """Whether so many bytes more are no more than `most`, by what was a moment ago."""
        if self._value + size > most and self._clock.seconds() - self._looked_s >= REFUSED_LOOK_AGAIN_S:
            await self.look()
        return self._value + size <= most

    def stored(self, size: int) -> None:
        """So many bytes were stored, if they were not there already."""
        self._value += size

    async def start(self) -> None:
        """Looks now and then, from now on."""
        if self._wanted:
            await self.look()
            self._looking.start()

    async def stop(self) -> None:
        """Ends that."""
        self._looking.stop()

    async def _look_on(self) -> None:
        while True:
            await pause(self._clock, LOOK_AGAIN_S)
            await self.look()

    async def look(self) -> None:
        """Looks now."""
        self._looked_s = self._clock.seconds()
        try:
            self._value = await media_administration.stored_bytes(self._db)
        except DatabaseError as error:
            self._log.warn("What all media take is not known: {error}", error=error)
