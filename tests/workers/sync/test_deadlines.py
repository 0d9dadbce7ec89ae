"""Many ends of waits on one timer: never early, hardly late, and nothing left behind."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from hs_workers.sync.deadlines import TICKS_PER_S, Deadlines

acts = st.lists(
    st.tuples(st.just("add"), st.integers(0, 9), st.floats(0, 5))
    | st.tuples(st.just("remove"), st.integers(0, 9), st.just(0.0))
    | st.tuples(st.just("pass"), st.just(0), st.floats(0, 2)),
    max_size=30,
)


@given(acts)
def test_each_ends_once_in_its_time(acts: list[tuple[str, int, float]]) -> None:
    clock = Clock()
    due: dict[int, float] = {}
    slack = 1 / TICKS_PER_S + 1e-6

    def end(who: int) -> None:
        assert due.pop(who) <= clock.seconds() + 1e-9

    deadlines = Deadlines(clock, end)
    for act, who, seconds in acts:
        if act == "add" and who not in due:
            due[who] = clock.seconds() + seconds
            deadlines.add(who, seconds)
        elif act == "remove":
            due.pop(who, None)
            deadlines.remove(who)
        elif act == "pass":
            clock.pump([seconds / 50] * 50)
            assert all(at > clock.seconds() - slack - seconds / 50 for at in due.values())
        assert len(deadlines) == len(due)
        assert len(clock.getDelayedCalls()) == min(1, len(due))
    clock.advance(5 + slack)
    assert not due
    assert not clock.getDelayedCalls()


def test_one_that_ends_may_end_others_and_begin_anew() -> None:
    clock = Clock()
    ended: list[str] = []

    def end(who: str) -> None:
        ended.append(who)
        deadlines.remove("second")
        if len(ended) == 1:
            deadlines.add("again", 1.0)

    deadlines: Deadlines[str] = Deadlines(clock, end)
    deadlines.add("first", 1.0)
    deadlines.add("second", 2.0)
    clock.pump([0.1] * 30)
    assert ended == ["first", "again"]
