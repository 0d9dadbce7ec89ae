"""Receipts of users of other servers. One for an event that is not here waits a while, since it is often just coming,
and so do all while the master is away.

What waits is in memory and bounded: a receipt that is lost is made good by the next.

Spec: server-server API, #receipts.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import is_event_id, is_room_id, is_short, is_user_id
from hs_common.matrix.limits import MAX_INTEGER
from hs_common.matrix.receipts_edu import Receipt, parse_receipt_edu
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.replication.remote_calls import ReceiptsTaken, RemoteReceipt, SetRemoteReceipts

WAITS_S: Final = (1.0, 4.0, 15.0, 60.0)
"""When a receipt whose event is not here is tried again."""
WAITING: Final = 5_000
"""Receipts that wait in all."""
CALL_RECEIPTS: Final = 500

_log = Logger()


class RemoteReceipts:
    """Gives receipts to the master."""

    def __init__(
        self, master: Link, clock: Clock, background: Callable[[str, Coroutine[Any, Any, object]], None]
    ) -> None:
        self._master = master
        self._clock = clock
        self._background = background
        self._waiting = 0

    @staticmethod
    def parse(content: object, origin: str) -> list[Receipt]:
        """Those that the server may tell and that can be kept."""
        return [receipt for receipt in parse_receipt_edu(content, origin) if _is_storable(receipt)]

    async def take(self, receipts: Sequence[Receipt]) -> None:
        """Whose users are in the rooms has been seen to."""
        unknown = await self._give(receipts)
        room = WAITING - self._waiting
        if unknown and room > 0:
            self._background("receipts that wait for their events", self._wait(unknown[:room]))

    async def _give(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Those whose event is not here, or that the master could not take."""
        by_room: dict[str, list[Receipt]] = {}
        for receipt in receipts:
            by_room.setdefault(receipt.room_id, []).append(receipt)
        pieces = [
            of_room[start : start + CALL_RECEIPTS]
            for of_room in by_room.values()
            for start in range(0, len(of_room), CALL_RECEIPTS)
        ]
        left: list[Receipt] = []
        for number, piece in enumerate(pieces):
            try:
                left += await self._give_piece(piece)
            except MatrixError as error:
                _log.warn("receipts have to wait for the master: {error}", error=error)
                return [*left, *(receipt for waiting in pieces[number:] for receipt in waiting)]
        return left

    async def _give_piece(self, piece: Sequence[Receipt]) -> list[Receipt]:
        call = SetRemoteReceipts(room_id=piece[0].room_id, receipts=[_for_master(receipt) for receipt in piece])
        answer = await self._master.call(call, options=CallOptions(lane="federation"))
        assert isinstance(answer, ReceiptsTaken), "a call is answered by what it names"
        return [piece[number] for number in answer.unknown]

    async def _wait(self, receipts: list[Receipt]) -> None:
        self._waiting += len(receipts)
        left = receipts
        try:
            for seconds in WAITS_S:
                await pause(self._clock, seconds)
                left = await self._give(left)
                if not left:
                    return
        finally:
            self._waiting -= len(receipts)


def _for_master(receipt: Receipt) -> RemoteReceipt:
    thread_id = receipt.thread_id or ""
    return RemoteReceipt(
        user_id=receipt.user_id, event_id=receipt.event_id, thread_id=thread_id, timestamp_ms=receipt.ts
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
