"""Received events on their way into the table in which they wait, and out of it: many in one statement.

An event is kept before its transaction is answered; those that come while a statement runs go with the next one, as do
those that have been taken in since. What was taken in is known by its id, so a row that a crash leaves does no harm.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.process.shares import shard_of
from hs_common.replication.clock import Clock, pause
from hs_common.storage import inbound_pdus
from hs_common.storage.inbound_pdus import StagedPdu
from hs_common.storage.queries import DatabaseError, Queries

MAXIMUM_ROWS: Final = 500
"""Of one statement: with 64 KiB each some 30 MiB, on a bad day."""

LATEST_S: Final = 0.5
"""When the rows of what was taken in go, if nothing else is written meanwhile."""

_Key = tuple[str, str]  # room id, event id
_log = Logger()


class Staging:
    """The table as this process writes it. `background` starts what nobody waits for."""

    def __init__(
        self, db: Queries, clock: Clock, background: Callable[[str, Coroutine[Any, Any, object]], None]
    ) -> None:
        self._db = db
        self._clock = clock
        self._background = background
        self._waiting: list[tuple[Sequence[StagedPdu], Deferred[None]]] = []
        self._taken_in: dict[_Key, None] = {}
        self._is_writing = self._will_flush = False

    async def keep(self, pdus: Sequence[StagedPdu]) -> None:
        """Returns when the events are kept. Raises DatabaseError."""
        kept: Deferred[None] = Deferred()
        self._waiting.append((pdus, kept))
        if not self._is_writing:
            self._is_writing = True
            self._background("keep received events", self._write())
        await kept

    def taken_in(self, room_id: str, event_ids: Iterable[str]) -> None:
        """The events need not be kept any more; their rows go with the next statement or with `flush`."""
        self._taken_in.update(((room_id, event_id), None) for event_id in event_ids)
        if not self._will_flush:
            self._will_flush = True
            self._background("remove events that were taken in", self._flush_later())

    async def flush(self) -> None:
        """Remove the rows of what was taken in. Raises DatabaseError."""
        while self._taken_in:
            gone = self._some_taken_in(())
            try:
                await inbound_pdus.remove(self._db, gone)
            except DatabaseError:
                self._taken_in.update(dict.fromkeys(gone))
                raise

    async def _flush_later(self) -> None:
        try:
            await pause(self._clock, LATEST_S)
        finally:
            self._will_flush = False
        try:
            await self.flush()
        except DatabaseError as error:
            _log.info("the rows of events that were taken in stay for now: {error}", error=error)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        finally:
            self._is_writing = False

    async def _write_some(self) -> None:
        batch: list[tuple[Sequence[StagedPdu], Deferred[None]]] = []
        rows = 0
        while self._waiting and rows < MAXIMUM_ROWS:
            batch.append(self._waiting.pop(0))
            rows += len(batch[-1][0])
        try:
            await self._stage([pdu for pdus, _ in batch for pdu in pdus])
        except CancelledError:
            raise
        except Exception as error:
            await self._write_each(batch, error)
            return
        for _, kept in batch:
            kept.callback(None)

    async def _write_each(self, batch: Sequence[tuple[Sequence[StagedPdu], Deferred[None]]], error: Exception) -> None:
        """What is refused of one transaction, or meets a fault of ours, must not hold up the others."""
        if len(batch) == 1:
            batch[0][1].errback(error)
            return
        _log.info("received events are kept one transaction at a time: {error}", error=error)
        for pdus, kept in batch:
            try:
                await self._stage(pdus)
            except Exception as refused:
                kept.errback(refused)
            else:
                kept.callback(None)

    async def _stage(self, pdus: Sequence[StagedPdu]) -> None:
        new = {(pdu.room_id, pdu.event_id): pdu for pdu in pdus}
        gone = self._some_taken_in(new)
        try:
            await inbound_pdus.stage(self._db, [shard_of(room_id) for room_id, _ in new], list(new.values()), gone)
        except DatabaseError:
            self._taken_in.update(dict.fromkeys(gone))
            raise

    def _some_taken_in(self, but: Iterable[_Key]) -> list[_Key]:
        """What was taken in longest ago, without rows that are just being written again."""
        kept = [key for key in but if self._taken_in.pop(key, True) is None]
        if kept:
            _log.debug("{count} events came again", count=len(kept))
        gone = list(self._taken_in)[:MAXIMUM_ROWS]
        for key in gone:
            del self._taken_in[key]
        return gone
