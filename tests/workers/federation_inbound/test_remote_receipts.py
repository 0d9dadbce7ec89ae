"""Receipts that cannot be taken yet wait: for their events, and for the master; also when who took them has died."""

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.receipts_edu import Receipt
from hs_common.replication import items
from hs_common.replication.remote_calls import ReceiptsTaken, SetRemoteReceipts
from hs_common.storage import inbound_receipts
from hs_common.storage.inbound_receipts import WaitingReceipt
from hs_workers.federation_inbound import remote_receipts
from hs_workers.federation_inbound.remote_receipts import CALL_RECEIPTS, KEPT_ATTEMPTS, LOOK_S, WAITS_S, RemoteReceipts
from tests.reactor import reactor
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

BOB = f"@bob:{FAR}"


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


class Table:
    """Stands for `inbound_receipts`: what waits, by how often it was tried."""

    def __init__(self) -> None:
        self.rows: dict[WaitingReceipt, int] = {}

    async def keep(self, db: Any, receipts: Sequence[WaitingReceipt], *_: Any) -> None:
        self.rows |= dict.fromkeys(receipts, 0)

    async def remove(self, db: Any, receipts: Sequence[WaitingReceipt]) -> None:
        for one in receipts:
            del self.rows[one]

    async def take_due(self, *_: Any) -> list[tuple[WaitingReceipt, int]]:
        due = list(self.rows.items())
        self.rows = {one: attempts + 1 for one, attempts in due}
        return due


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr(remote_receipts, "inbound_receipts", table)
    return table


def receipt(event_id: str, room_id: str = "!r") -> Receipt:
    return Receipt(room_id, "m.read", "@a:there", event_id, 1)


def worker(master: Master, clock: Clock) -> RemoteReceipts:
    def background(_: str, work: Coroutine[Any, Any, object]) -> None:
        Deferred.fromCoroutine(work)

    return RemoteReceipts(None, master, clock, background)  # type: ignore[arg-type]


def started(master: Master, *receipts: Receipt) -> Clock:
    clock = Clock()
    Deferred.fromCoroutine(worker(master, clock).take(receipts))
    return clock


def test_receipts_wait_for_their_events(table: Table) -> None:
    master = Master()
    master.known = {"$a"}
    clock = started(master, receipt("$a"), receipt("$b"))
    clock.advance(WAITS_S[0])
    assert master.taken == ["$a"]
    assert [one.event_id for one in table.rows] == ["$b"]
    master.known.add("$b")
    clock.advance(WAITS_S[1])
    assert master.taken == ["$a", "$b"]
    assert not table.rows


def test_receipts_wait_for_the_master(table: Table) -> None:
    master = Master()
    master.known = {"$a", "$b"}
    master.away = True
    many = [receipt("$a")] * (CALL_RECEIPTS + 1)
    clock = started(master, *many, receipt("$b", "!s"))
    assert master.calls == 1  # it is not asked for each room how it is
    master.away = False
    clock.advance(WAITS_S[0])
    assert master.taken == ["$a", "$b"]  # of each user and thread the newest


def test_another_process_takes_what_waited_in_one_that_died(table: Table) -> None:
    master = Master()
    started(master, receipt("$a"))  # its clock goes no further
    clock = Clock()
    Deferred.fromCoroutine(worker(master, clock).look_on())
    clock.advance(LOOK_S)
    assert list(table.rows.values()) == [1]
    master.known = {"$a"}
    clock.advance(LOOK_S)
    assert master.taken == ["$a"]
    assert not table.rows


def test_what_never_comes_is_given_up(table: Table) -> None:
    master = Master()
    clock = started(master, receipt("$a"))
    for seconds in (*WAITS_S, 1000.0, 1000.0):
        clock.advance(seconds)
    assert master.calls == 1 + len(WAITS_S)
    assert table.rows
    Deferred.fromCoroutine(worker(master, clock).look_on())
    for _ in range(KEPT_ATTEMPTS + 3):
        clock.advance(LOOK_S)
    assert master.calls == 1 + len(WAITS_S) + KEPT_ATTEMPTS
    assert not table.rows


def _read(event_id: str, ts: int, thread_id: str = "", user_id: str = BOB) -> WaitingReceipt:
    return WaitingReceipt("!r", user_id, thread_id, event_id, ts)


def test_the_newest_of_each_thread_waits_and_no_more_of_a_server_than_a_few(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        async def kept() -> list[WaitingReceipt]:
            await world.db.execute("UPDATE inbound_receipt SET retry_at = now()")
            return sorted(one for one, _ in await inbound_receipts.take_due(world.db, 60.0, 3.0, 9))

        async def keep(*receipts: WaitingReceipt, limit: int = 4) -> None:
            await inbound_receipts.keep(world.db, receipts, FAR, limit, 60.0)

        await keep(_read("$b", 2), _read("$t", 1, "$thread"))
        await keep(_read("$a", 1))
        assert await kept() == [_read("$b", 2), _read("$t", 1, "$thread")]
        assert await inbound_receipts.take_due(world.db, 60.0, 3.0, 9) == []  # nobody else tries them now
        await inbound_receipts.remove(world.db, [_read("$b", 1), _read("$t", 1, "$thread")])
        assert await kept() == [_read("$b", 2)]  # what has come since stays
        await keep(_read("$c", 3), _read("$x", 1, "main"), _read("$x", 1, "$x"))
        assert await kept() == [_read("$c", 3), _read("$x", 1, "$x"), _read("$x", 1, "main")]
        await keep(_read("$z", 1, user_id=f"@zoe:{FAR}"), limit=3)
        assert len(await kept()) == 3

    play(database_url, scenario)


def test_a_receipt_outlives_the_worker_that_took_it(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_receipts, "WAITS_S", ())  # as if it had died before it tried again

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.join(BOB)
        await world.enter(room)
        event = room.say("read this")
        read = {"event_ids": [event.event_id], "data": {"ts": 17}}
        await world.send(edus=[{"edu_type": "m.receipt", "content": {room.room_id: {"m.read": {BOB: read}}}}])
        await world.send(event)
        await world.settled()
        successor = RemoteReceipts(world.db, world.link, reactor, world.background)
        await successor.look()
        assert world.logged(items.ReceiptItem) == []  # who took it still has time to try
        await world.db.execute("UPDATE inbound_receipt SET retry_at = now()")
        await successor.look()
        (item,) = world.logged(items.ReceiptItem)
        assert (item.user_id, item.event_id, item.ts) == (BOB, event.event_id, 17)
        assert await world.db.fetch("SELECT 1 FROM inbound_receipt") == []

    play(database_url, scenario)
