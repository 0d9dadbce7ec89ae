"""So many calls of an origin are under way; who waits for a turn gets it, in order, whoever goes away meanwhile."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from hs_common.replication.credits import Credits, granted

LIMIT = 2


class Caller:
    """Makes calls that last until they are told to end."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.credits = Credits(LIMIT)
        self.under_way: dict[int, Deferred[None]] = {}
        self.refused: list[int] = []
        self.calls: dict[int, Deferred[None]] = {}

    def call(self, number: int, origin: str = "bridge") -> None:
        async def work() -> None:
            with self.credits.taking(origin) as turn:
                if turn is not None and not await granted(turn, self.clock, 8.0):
                    self.refused.append(number)
                    return
                self.under_way[number] = Deferred()
                try:
                    await self.under_way[number]
                finally:
                    del self.under_way[number]

        self.calls[number] = Deferred.fromCoroutine(work())
        self.calls[number].addErrback(lambda failure: failure.trap(CancelledError))


def test_calls_wait_for_a_credit_in_order() -> None:
    caller = Caller()
    for number in range(4):
        caller.call(number)
    caller.call(9, "@human")
    assert list(caller.under_way) == [0, 1, 9]
    assert caller.credits.waiting == 2
    caller.under_way[1].callback(None)
    assert list(caller.under_way) == [0, 9, 2]


def test_this_servers_own_calls_need_none() -> None:
    caller = Caller()
    for number in range(5):
        caller.call(number, "")
    assert len(caller.under_way) == 5


def test_a_turn_that_does_not_come_in_time_is_told() -> None:
    caller = Caller()
    for number in range(3):
        caller.call(number)
    caller.clock.advance(8.0)
    assert caller.refused == [2]
    assert caller.credits.waiting == 0
    caller.under_way[0].callback(None)
    caller.call(3)
    assert list(caller.under_way) == [1, 3]


@given(st.lists(st.tuples(st.sampled_from(["call", "end", "go away", "wait"]), st.integers(0, 30)), max_size=60))
def test_no_credit_is_lost(steps: list[tuple[str, int]]) -> None:
    caller = Caller()
    for index, (step, number) in enumerate(steps):
        if step == "call":
            caller.call(100 + index)
        elif step == "wait":
            caller.clock.advance(number / 10)
        elif step == "end" and caller.under_way:
            list(caller.under_way.values())[number % len(caller.under_way)].callback(None)
        elif step == "go away" and caller.calls:
            list(caller.calls.values())[number % len(caller.calls)].cancel()
        assert len(caller.under_way) <= LIMIT
        assert not caller.credits.waiting or len(caller.under_way) == LIMIT
    while caller.under_way:
        next(iter(caller.under_way.values())).callback(None)
    assert caller.credits.waiting == 0
    assert not caller.credits._in_use
