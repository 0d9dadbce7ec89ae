"""Receipts of users of other servers. One for an event that is not here waits, since it is often just coming, and so do
all while the master is away.

What waits is in the database before its transaction is answered: this process tries it soon and often, and whichever
looks next tries what is still there later, also when the one that took it has died. Bounded: of each user and thread
the newest waits, of each server so many, for a day.

Spec: server-server API, #receipts.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_event_id, is_room_id, is_short, is_user_id
from hs_common.matrix.limits import MAX_INTEGER
from hs_common.matrix.receipts_edu import Receipt, parse_receipt_edu
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.replication.remote_calls import ReceiptsTaken, RemoteReceipt, SetRemoteReceipts
from hs_common.storage import inbound_receipts
from hs_common.storage.inbound_receipts import WaitingReceipt
from hs_common.storage.queries import DatabaseError, Queries

WAITS_S: Final = (1.0, 4.0, 15.0)
"""When this process tries a receipt again whose event is not here."""
WAITING: Final = 5_000
"""Receipts that wait so in this process; more wait in the database alone."""
KEPT_S: Final = 60.0
"""After that any process tries what waits in the database: later than the one that took it."""
KEPT_GROWTH: Final = 3.0
KEPT_ATTEMPTS: Final = 7
"""The last after a day or so: then the user has read on, or nobody has the event."""
OF_SERVER: Final = 2_000
"""Receipts of one server that wait in the database. A thread's id is whatever its server says."""
LOOK_S: Final = 20.0
DUE_AT_ONCE: Final = 500
CALL_RECEIPTS: Final = 500

_log = Logger()


class RemoteReceipts:
    """Gives receipts to the master."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        clock: Clock,
        background: Callable[[str, Coroutine[Any, Any, object]], None],
    ) -> None:
        self._db = db
        self._master = master
        self._clock = clock
        self._background = background
        self._waiting = 0

    @staticmethod
    def parse(content: object, origin: str) -> list[Receipt]:
        """Those that the server may tell and that can be kept."""
        return [receipt for receipt in parse_receipt_edu(content, origin) if _is_storable(receipt)]

    async def take(self, receipts: Sequence[Receipt]) -> None:
        """Whose users are in the rooms has been seen to; all are of one server. Raises DatabaseError where what has to
        wait cannot be kept."""
        unknown = _newest(await self._give([_waiting(receipt) for receipt in receipts]))
        if not unknown:
            return
        origin = domain_of(unknown[0].user_id)
        await inbound_receipts.keep(self._db, unknown, origin, OF_SERVER, KEPT_S)
        room = WAITING - self._waiting
        if room > 0:
            self._background("receipts that wait for their events", self._wait(unknown[:room]))

    async def look_on(self) -> None:
        """Tries what waits in the database, until it is cancelled."""
        while True:
            await pause(self._clock, LOOK_S)
            try:
                while await self.look():
                    pass
            except DatabaseError as error:
                _log.warn("receipts that wait cannot be looked for: {error}", error=error)

    async def look(self) -> bool:
        """Once; whether there may be more."""
        due = await inbound_receipts.take_due(self._db, KEPT_S, KEPT_GROWTH, DUE_AT_ONCE)
        left = set(await self._give([receipt for receipt, _ in due]))
        done = [receipt for receipt, attempts in due if receipt not in left or attempts + 1 >= KEPT_ATTEMPTS]
        if done:
            await inbound_receipts.remove(self._db, done)
        return len(due) == DUE_AT_ONCE

    async def _give(self, receipts: Sequence[WaitingReceipt]) -> list[WaitingReceipt]:
        """Those whose event is not here, or that the master could not take."""
        by_room: dict[str, list[WaitingReceipt]] = {}
        for receipt in receipts:
            by_room.setdefault(receipt.room_id, []).append(receipt)
        pieces = [
            of_room[start : start + CALL_RECEIPTS]
            for of_room in by_room.values()
            for start in range(0, len(of_room), CALL_RECEIPTS)
        ]
        left: list[WaitingReceipt] = []
        for number, piece in enumerate(pieces):
            try:
                left += await self._give_piece(piece)
            except MatrixError as error:
                _log.warn("receipts have to wait for the master: {error}", error=error)
                return [*left, *(receipt for waiting in pieces[number:] for receipt in waiting)]
        return left

    async def _give_piece(self, piece: Sequence[WaitingReceipt]) -> list[WaitingReceipt]:
        call = SetRemoteReceipts(room_id=piece[0].room_id, receipts=[_for_master(receipt) for receipt in piece])
        answer = await self._master.call(call, options=CallOptions(lane="federation"))
        assert isinstance(answer, ReceiptsTaken), "a call is answered by what it names"
        return [piece[number] for number in answer.unknown]

    async def _wait(self, receipts: list[WaitingReceipt]) -> None:
        self._waiting += len(receipts)
        left = receipts
        try:
            for seconds in WAITS_S:
                await pause(self._clock, seconds)
                before, left = left, await self._give(left)
                still = set(left)
                await self._remove([receipt for receipt in before if receipt not in still])
                if not left:
                    return
        finally:
            self._waiting -= len(receipts)

    async def _remove(self, taken: list[WaitingReceipt]) -> None:
        if not taken:
            return
        try:
            await inbound_receipts.remove(self._db, taken)
        except DatabaseError as error:  # they are tried once more, which changes nothing
            _log.info("receipts that were taken in stay for now: {error}", error=error)


def _waiting(receipt: Receipt) -> WaitingReceipt:
    return WaitingReceipt(receipt.room_id, receipt.user_id, receipt.thread_id or "", receipt.event_id, receipt.ts)


def _newest(receipts: Sequence[WaitingReceipt]) -> list[WaitingReceipt]:
    """Of each user and thread the newest."""
    in_order = sorted(receipts, key=lambda one: one.ts)
    return [*{(one.room_id, one.user_id, one.thread_id): one for one in in_order}.values()]


def _for_master(receipt: WaitingReceipt) -> RemoteReceipt:
    return RemoteReceipt(
        user_id=receipt.user_id, event_id=receipt.event_id, thread_id=receipt.thread_id, timestamp_ms=receipt.ts
    )


def _is_storable(receipt: Receipt) -> bool:
    thread_id = receipt.thread_id
    return (
        is_room_id(receipt.room_id)
        and is_user_id(receipt.user_id)
        and is_event_id(receipt.event_id)
        and (thread_id is None or is_short(thread_id))
        and 0 <= receipt.ts <= MAX_INTEGER
    )
