"""Receipts that cannot be taken yet wait: for their events, and for the master."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.receipts_edu import Receipt
from hs_common.replication.remote_calls import ReceiptsTaken, SetRemoteReceipts
from hs_workers.federation_inbound.remote_receipts import CALL_RECEIPTS, WAITS_S, RemoteReceipts


class Master:
    """Takes what it is given, but while it is `away`, and of events that are not `known`."""

    def __init__(self) -> None:
        self.away = False
        self.known: set[str] = set()
        self.taken: list[str] = []
        self.calls = 0

    async def call(self, call: SetRemoteReceipts, **_: Any) -> ReceiptsTaken:
        self.calls += 1
        if self.away:
            raise MatrixError(503, "M_UNKNOWN", "away")
        events = [one.event_id for one in call.receipts]
        self.taken += [one for one in events if one in self.known]
        return ReceiptsTaken(pos=1, unknown=[n for n, one in enumerate(events) if one not in self.known])


def receipt(event_id: str, room_id: str = "!r") -> Receipt:
    return Receipt(room_id, "m.read", "@a:there", event_id, 1)


def started(master: Master, *receipts: Receipt) -> Clock:
    clock = Clock()

    def background(_: str, work: Coroutine[Any, Any, object]) -> None:
        Deferred.fromCoroutine(work)

    taking = RemoteReceipts(master, clock, background)  # type: ignore[arg-type]
    Deferred.fromCoroutine(taking.take(receipts))
    return clock


def test_receipts_wait_for_their_events() -> None:
    master = Master()
    master.known = {"$a"}
    clock = started(master, receipt("$a"), receipt("$b"))
    clock.advance(WAITS_S[0])
    assert master.taken == ["$a"]
    master.known.add("$b")
    clock.advance(WAITS_S[1])
    assert master.taken == ["$a", "$b"]


def test_receipts_wait_for_the_master() -> None:
    master = Master()
    master.known = {"$a", "$b"}
    master.away = True
    many = [receipt("$a")] * (CALL_RECEIPTS + 1)
    clock = started(master, *many, receipt("$b", "!s"))
    assert master.calls == 1  # it is not asked for each room how it is
    master.away = False
    clock.advance(WAITS_S[0])
    assert master.taken == ["$a"] * len(many) + ["$b"]


def test_what_never_comes_is_given_up() -> None:
    master = Master()
    clock = started(master, receipt("$a"))
    for seconds in (*WAITS_S, 1000.0, 1000.0):
        clock.advance(seconds)
    assert master.calls == 1 + len(WAITS_S)
