"""The read barrier: shared queries, and never an answer older than the request."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication.barrier import BARRIER_SECONDS, ReadBarrier
from hs_common.replication.follower import Follower
from tests.common.replication.log import Away, MemoryOutbox, StillCarrier, outcome


class World:
    """A barrier whose head queries are answered by the test."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.outbox = MemoryOutbox()
        self.follower = Follower(self.clock, Random(1), self.outbox, [], lambda error: None)
        Deferred.fromCoroutine(self.follower.start(StillCarrier()))
        self.follower.receive([], self.outbox.beat())  # a sign of life: the outbox is not polled yet
        self.queries: list[Deferred[int]] = []
        self.barrier = ReadBarrier(self.clock, self.follower, self.ask)

    async def ask(self) -> int:
        self.queries.append(Deferred())
        return await self.queries[-1]

    def request(self) -> list[object]:
        return outcome(Deferred.fromCoroutine(self.barrier.reached()))


def test_at_the_head_one_query_is_all() -> None:
    world = World()
    result = world.request()
    assert result == []
    world.queries[0].callback(0)
    assert result == [True]


def test_who_comes_during_a_query_shares_the_next() -> None:
    world = World()
    first, *later = [world.request() for _ in range(5)]
    assert len(world.queries) == 1
    world.queries[0].callback(0)
    assert (first, later) == ([True], [[], [], [], []])
    assert len(world.queries) == 2
    world.queries[1].callback(0)
    assert later == [[True]] * 4
    assert len(world.queries) == 2


def test_waits_for_the_follower() -> None:
    world = World()
    result = world.request()
    entry = world.outbox.commit("a")
    world.queries[0].callback(entry.pos)
    assert result == []
    world.follower.receive([entry], None)
    assert result == [True]


def test_gives_up_and_lets_the_follower_catch_up() -> None:
    world = World()
    result = world.request()
    world.queries[0].callback(world.outbox.commit("a").pos)
    reads = world.outbox.reads
    world.clock.advance(BARRIER_SECONDS)
    assert result == [False]
    assert world.outbox.reads > reads
    assert world.follower.position.pos == 1
    assert (world.barrier.passed, world.barrier.given_up) == (0, 1)


def test_without_postgres_it_gives_up() -> None:
    world = World()
    slow, later = world.request(), world.request()
    world.clock.advance(BARRIER_SECONDS)
    assert (slow, later) == ([False], [False])
    world.queries[0].errback(Away())
    world.queries[1].callback(0)  # who had gathered for it is gone
    refused = world.request()
    world.queries[2].errback(Away())
    assert refused == [False]


def test_a_request_that_ends_hurts_nobody() -> None:
    world = World()
    gone = Deferred.fromCoroutine(world.barrier.reached())
    result = outcome(gone)
    gone.cancel()
    assert len(result) == 1
    other = world.request()
    world.queries[0].callback(0)
    world.queries[1].callback(0)
    assert other == [True]


@given(st.lists(st.sampled_from(["write", "request", "answer", "follow"]), max_size=40))
def test_no_request_passes_before_its_writes_are_followed(steps: list[str]) -> None:
    world = World()
    requests: list[tuple[int, list[object]]] = []  # the head when it came, its outcome
    asked: list[int] = []  # the head when each query was sent
    for step in steps:
        head = world.outbox.beat().head
        if step == "write":
            world.outbox.commit("a")
        elif step == "request":
            requests.append((head, world.request()))
        elif step == "answer" and world.queries and not world.queries[-1].called:
            world.queries[-1].callback(asked[-1])
        elif step == "follow":
            world.follower.receive(world.outbox.rows, None)
        asked += [world.outbox.beat().head] * (len(world.queries) - len(asked))
        for came_at, result in requests:
            assert result != [True] or world.follower.position.pos >= came_at
