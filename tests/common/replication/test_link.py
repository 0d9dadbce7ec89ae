"""The link between a worker and masters: one effect and one answer for each call, whatever happens between."""

from collections.abc import Callable
from random import Random
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls
from hs_common.replication.dial import tcp_dial
from hs_common.replication.frames import (
    CallFrame,
    Challenge,
    Frame,
    FrameReader,
    Hello,
    Proof,
    Welcome,
    encode_frame,
)
from hs_common.replication.link import MasterLink
from hs_common.replication.link_connection import LinkIdentity
from hs_common.replication.link_interface import CALL_SECONDS, CallOptions, Link
from hs_common.replication.link_local import LocalLink
from hs_common.replication.link_server import CallInfo, LeaderElsewhere, Leadership, LinkServer, TooBusy
from hs_common.replication.names import FRAME_LIMIT
from tests.common.replication.log import outcome
from tests.common.replication.wire import Network
from tests.reactor import reactor, run, until


class Store:
    """What masters share, as Postgres does: effects by key, with their answers."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.answers: dict[bytes, bytes] = {}


class Master:
    """A master whose calls name a room; some names make trouble."""

    def __init__(self, clock: Clock, store: Store, secret: bytes = b"secret", epoch: int | None = 1) -> None:
        self.store = store
        self.leadership = Leadership(epoch)
        self.infos: list[CallInfo] = []
        self.hanging: list[Deferred[bytes]] = []
        nonce = Random(7).randbytes
        self.server = LinkServer(clock, secret, "cluster", nonce, lambda: self.leadership, self.work)

    async def work(self, name: str, body: msgspec.Raw, info: CallInfo) -> bytes:
        self.infos.append(info)
        call = calls.decode_call(name, body)
        assert isinstance(call, calls.DeleteAlias)
        if call.alias == "hang":
            self.hanging.append(Deferred())
            return await self.hanging[-1]
        if call.alias == "large":
            return msgspec.msgpack.encode("x" * FRAME_LIMIT)
        errors: dict[str, Exception] = {
            "forbidden": MatrixError(403, "M_FORBIDDEN", "no", {"extra": [1]}),
            "bug": ValueError("a bug"),
            "busy": TooBusy(250),
            "elsewhere": LeaderElsewhere(),
        }
        if call.alias in errors:
            raise errors[call.alias]
        if info.key not in self.store.answers:
            self.store.effects.append(call.alias)
            self.store.answers[info.key] = calls.encode(calls.Answer(pos=len(self.store.effects)))
        return self.store.answers[info.key]


class World:
    """A worker's link and a network of masters."""

    def __init__(self, cuts: list[int] | None = None, secret: bytes = b"secret", cluster: str = "cluster") -> None:
        self.clock = Clock()
        self.network = Network(self.clock, cuts)
        self.store = Store()
        self.leader: str | None = "one:1"
        self.epoch = 0
        random = Random(5)
        self.link = MasterLink(
            self.clock,
            random,
            random.randbytes,
            LinkIdentity(cluster, secret, "client"),
            self.find_leader,
            self.network.dial,
            lambda: self.epoch,
        )

    async def find_leader(self) -> str | None:
        return self.leader

    def master(self, address: str = "one:1", secret: bytes = b"secret", epoch: int | None = 1) -> Master:
        master = Master(self.clock, self.store, secret, epoch)
        self.network.listeners[address] = master.server
        return master

    def start(self) -> "World":
        self.link.start()
        self.network.turn(0.1)
        return self

    def call(self, alias: str, key: bytes | None = None) -> list[object]:
        return outcome(Deferred.fromCoroutine(self.link.call(calls.DeleteAlias(alias=alias), key)))


def error_of(result: list[object]) -> MatrixError:
    (failure,) = result
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, MatrixError)
    return failure.value


def test_a_call_is_answered_with_what_travels_beside_it() -> None:
    world = World()
    master = world.master()
    world.start()
    options = CallOptions("federation", "example.org", "request-1")
    key = b"k" * 16
    result = outcome(Deferred.fromCoroutine(world.link.call(calls.DeleteAlias(alias="a"), key, options)))
    world.network.turn(0.1)
    assert result == [calls.Answer(pos=1)]
    (info,) = master.infos
    assert info == CallInfo(key, 8000, "federation", "example.org", 1, "request-1", "client")
    assert world.link.waiting == 0


@pytest.mark.parametrize(
    ("alias", "status", "errcode", "fields"),
    [
        ("forbidden", 403, "M_FORBIDDEN", {"extra": [1]}),
        ("bug", 500, "M_UNKNOWN", {}),
        ("busy", 429, "M_LIMIT_EXCEEDED", {"retry_after_ms": 250}),
        ("large", 500, "M_UNKNOWN", {}),
    ],
)
def test_errors_come_back_and_hurt_nobody(alias: str, status: int, errcode: str, fields: dict[str, object]) -> None:
    world = World()
    world.master()
    world.start()
    bad, good = world.call(alias), world.call("good")
    world.network.turn(0.2)
    error = error_of(bad)
    assert (error.status, error.errcode, error.fields) == (status, errcode, fields)
    assert good == [calls.Answer(pos=1)]
    assert len(world.network.wires) == 1


def test_a_call_that_is_too_large_is_refused_here() -> None:
    world = World()
    world.master()
    world.start()
    assert error_of(world.call("x" * FRAME_LIMIT)).errcode == "M_TOO_LARGE"
    good = world.call("good")
    world.network.turn(0.1)
    assert good == [calls.Answer(pos=1)]


def test_calls_of_one_turn_are_one_write() -> None:
    world = World()
    world.master()
    world.start()
    (wire,) = world.network.wires
    written = wire.near.writes
    for alias in "abc":
        world.call(alias)
    world.clock.advance(0)
    assert wire.near.writes == written + 1


def test_without_a_leader_the_outcome_is_unknown_in_time() -> None:
    world = World()
    world.leader = None
    world.start()
    result = world.call("a")
    world.network.turn(CALL_SECONDS - 0.1)
    assert result == []
    world.network.turn(0.2)
    error = error_of(result)
    assert (error.status, error.errcode, error.fields) == (503, "M_UNKNOWN", {"retry_after_ms": 1000})
    assert world.link.waiting == 0


def test_a_leader_found_late_does_the_call() -> None:
    world = World()
    world.leader = None
    world.start()
    results = [world.call(alias) for alias in "abc"]
    world.network.turn(3)
    world.master()
    world.leader = "one:1"
    world.network.turn(1)
    assert results == [[calls.Answer(pos=1)], [calls.Answer(pos=2)], [calls.Answer(pos=3)]]
    assert world.store.effects == ["a", "b", "c"]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 1200), min_size=1, max_size=4))
def test_cut_at_any_byte_each_call_has_one_effect_in_order(cuts: list[int]) -> None:
    world = World(cuts)
    world.master()
    world.start()
    names = [f"{number}" for number in range(6)]
    results = [world.call(name) for name in names]
    world.network.turn(7)
    assert results == [[calls.Answer(pos=place)] for place in range(1, 7)]
    assert world.store.effects == names


def test_a_repeat_says_so_and_keeps_its_key() -> None:
    world = World()
    master = world.master()
    world.start()
    result = world.call("hang", b"k" * 16)
    world.network.turn(0.1)
    world.network.wires[0].cut()
    world.network.turn(1)
    assert [(info.key, info.tries) for info in master.infos] == [(b"k" * 16, 1), (b"k" * 16, 2)]
    assert master.infos[1].time_left_ms < master.infos[0].time_left_ms
    master.hanging[1].callback(calls.encode(calls.Answer(pos=9)))
    world.network.turn(0.1)
    assert result == [calls.Answer(pos=9)]
    master.hanging[0].callback(b"")  # answers a connection that is gone


@pytest.mark.parametrize(("worker", "cluster"), [(b"wrong", "cluster"), (b"secret", "other")])
def test_who_does_not_belong_is_refused(worker: bytes, cluster: str) -> None:
    world = World(secret=worker, cluster=cluster)
    master = world.master()
    world.start()
    result = world.call("a")
    world.network.turn(CALL_SECONDS + 0.1)
    assert error_of(result).status == 503
    assert master.infos == []
    assert not world.link.is_connected


class Impostor(Protocol):
    """Welcomes everybody without knowing the secret."""

    def __init__(self) -> None:
        self.heard: list[Frame] = []
        self._reader = FrameReader()

    def dataReceived(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            self.heard.append(frame)
            answer = Challenge(b"n" * 32, b"a guess") if isinstance(frame, Hello) else Welcome(1, 1)
            cast(Any, self.transport).write(encode_frame(answer))


def test_a_master_that_does_not_know_the_secret_gets_no_call() -> None:
    world = World()
    impostor = Impostor()
    factory = Factory.forProtocol(lambda: impostor)
    world.network.listeners["one:1"] = cast(Any, factory)
    world.start()
    world.call("a")
    world.network.turn(0.2)
    assert [type(frame) for frame in impostor.heard] == [Hello] * len(world.network.wires)
    assert not world.link.is_connected


class Stranger(Protocol):
    """Says what the test tells it to, and listens to nothing."""


def test_a_worker_without_the_secret_gets_no_work_done() -> None:
    world = World()
    master = world.master()
    Deferred.fromCoroutine(world.network.dial("one:1", Stranger()))
    (wire,) = world.network.wires
    wire.near.write(encode_frame(Hello("cluster", "client", b"n" * 32, 1, 1, 0)))
    world.network.turn(0.1)
    body = msgspec.Raw(calls.encode(calls.DeleteAlias(alias="a")))
    call = CallFrame(1, b"k" * 16, "DeleteAlias", body, 8000, "interactive", "", 1, "")
    wire.near.write(encode_frame(Proof(b"a guess")) + encode_frame(call))
    world.network.turn(0.1)
    assert master.infos == []
    assert not wire.is_open


def test_not_leader_redirects() -> None:
    world = World()
    old, new = world.master("one:1", epoch=None), world.master("two:2", epoch=2)
    old.leadership = Leadership(None, "two:2")
    world.start()
    result = world.call("a")
    world.network.turn(1)
    assert result == [calls.Answer(pos=1)]
    assert world.network.dialled == ["one:1", "two:2"]
    assert len(new.infos) == 1
    assert old.infos == []


def test_a_leader_of_the_past_is_told_by_the_hello() -> None:
    world = World()
    old = world.master(epoch=3)
    world.epoch = 4
    world.start()
    world.call("a")
    world.network.turn(2)
    assert old.infos == []
    old.leadership = Leadership(4)
    world.network.turn(1)
    assert world.store.effects == ["a"]


def test_stepping_down_moves_the_calls_under_way() -> None:
    world = World()
    old, new = world.master("one:1"), world.master("two:2", epoch=2)
    world.start()
    elsewhere = world.call("hang")
    world.network.turn(0.1)
    old.leadership = Leadership(None, "two:2")
    old.server.step_down()
    world.network.turn(1)
    (hanging,) = new.hanging
    hanging.callback(calls.encode(calls.Answer(pos=4)))
    world.network.turn(0.1)
    assert elsewhere == [calls.Answer(pos=4)]


def test_losing_leadership_within_a_call_moves_it() -> None:
    world = World()
    old, new = world.master("one:1"), world.master("two:2", epoch=2)
    world.start()
    world.leader = "two:2"
    world.call("elsewhere")
    world.network.turn(1)
    assert len(old.infos) == 1
    assert new.infos[0].tries == 2


def test_a_master_that_hangs_is_left_for_another() -> None:
    world = World()
    world.master("one:1")
    world.start()
    world.network.turn(2)
    assert world.link.is_connected
    world.network.wires[0].frozen = True
    world.master("two:2", epoch=2)
    world.leader = "two:2"
    result = world.call("a")
    world.network.turn(5)
    assert result == [calls.Answer(pos=1)]


def test_who_gives_up_is_nobody_elses_concern() -> None:
    world = World()
    master = world.master()
    world.start()
    gone = Deferred.fromCoroutine(world.link.call(calls.DeleteAlias(alias="hang")))
    result = outcome(gone)
    world.network.turn(0.1)
    gone.cancel()
    assert len(result) == 1
    assert world.link.waiting == 0
    good = world.call("good")
    master.hanging[0].callback(calls.encode(calls.Answer(pos=1)))
    world.network.turn(0.1)
    assert good == [calls.Answer(pos=1)]
    assert len(world.network.wires) == 1


def test_one_callers_exception_is_nobody_elses_concern() -> None:
    world = World()
    world.master()
    world.start()

    async def careless() -> None:
        await world.link.call(calls.DeleteAlias(alias="a"))
        raise RuntimeError("the client is gone")

    failing = outcome(Deferred.fromCoroutine(careless()))
    good = world.call("b")
    world.network.turn(0.1)
    assert isinstance(failing[0], Failure)
    assert good == [calls.Answer(pos=2)]
    assert world.link.is_connected


def test_the_end_tells_who_waits() -> None:
    world = World()
    world.master()
    world.start()
    result = world.call("hang")
    world.network.turn(0.1)
    Deferred.fromCoroutine(world.link.stop())
    world.network.turn(0.1)
    assert error_of(result).status == 503
    world.network.turn(20)
    assert world.clock.getDelayedCalls() == []
    assert error_of(world.call("a")).status == 503


def test_silent_strangers_and_silent_workers_are_dropped() -> None:
    world = World()
    master = world.master()
    world.start()
    (wire,) = world.network.wires
    wire.frozen = True
    wire.near.hangs = True
    stranger = master.server.buildProtocol(None)
    aborted: list[bool] = []
    cast(Any, stranger).makeConnection(_Deaf(aborted.append))
    world.network.turn(5.1)
    assert aborted == [True]
    world.network.turn(11)
    assert wire.far.aborted


class _Deaf:
    """A transport that only knows its end."""

    def __init__(self, aborted: Callable[[bool], None]) -> None:
        self._aborted = aborted

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self._aborted(True)


def local_link(clock: Clock, store: Store) -> Link:
    return LocalLink(clock, Random(1).randbytes, Master(clock, store).work)


@pytest.mark.parametrize(
    ("alias", "status"), [("forbidden", 403), ("bug", 500), ("busy", 429), ("elsewhere", 503), ("hang", 503)]
)
def test_the_local_link_fails_alike(alias: str, status: int) -> None:
    clock = Clock()
    result = outcome(Deferred.fromCoroutine(local_link(clock, Store()).call(calls.DeleteAlias(alias=alias))))
    clock.advance(0)
    clock.advance(CALL_SECONDS)
    assert error_of(result).status == status


def test_the_local_link_works_in_its_own_turn() -> None:
    clock, store = Clock(), Store()
    link = local_link(clock, store)
    key = b"k" * 16
    results = [outcome(Deferred.fromCoroutine(link.call(calls.DeleteAlias(alias="a"), key))) for _ in range(2)]
    assert store.effects == []
    clock.advance(0)
    assert results == [[calls.Answer(pos=1)], [calls.Answer(pos=1)]]
    assert store.effects == ["a"]
    assert clock.getDelayedCalls() == []


def test_the_local_link_lets_a_caller_go() -> None:
    clock, store = Clock(), Store()
    gone = Deferred.fromCoroutine(local_link(clock, store).call(calls.DeleteAlias(alias="a")))
    result = outcome(gone)
    gone.cancel()
    assert isinstance(result[0], Failure)
    clock.advance(0)
    assert store.effects == ["a"]  # as between processes, what was asked for is done


def test_over_tcp() -> None:
    async def part() -> None:
        store = Store()
        master = Master(reactor, store)
        port = reactor.listenTCP(0, master.server, interface="127.0.0.1")
        address = f"127.0.0.1:{port.getHost().port}"
        random = Random(3)
        identity = LinkIdentity("cluster", b"secret", "client")

        async def find_leader() -> str:
            return address

        link = MasterLink(reactor, random, random.randbytes, identity, find_leader, tcp_dial(reactor), lambda: 0)
        link.start()
        assert await link.call(calls.DeleteAlias(alias="x" * 300_000)) == calls.Answer(pos=1)
        with pytest.raises(MatrixError, match="no"):
            await link.call(calls.DeleteAlias(alias="forbidden"))
        await link.stop()
        await until(lambda: not master.server.connections)
        await port.stopListening()

    run(part())
