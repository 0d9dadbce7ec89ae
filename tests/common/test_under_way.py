"""What is under way is waited for, whatever becomes of it or of who waits."""

from twisted.internet.defer import CancelledError, Deferred

from hs_common.under_way import UnderWay


def test_who_waits_goes_on_at_the_end() -> None:
    under_way = UnderWay[str]()
    with under_way.begun("a"), under_way.begun("b"):
        assert ("a" in under_way, "c" in under_way, len(under_way)) == (True, False, 2)
        waiting = [Deferred.fromCoroutine(under_way.end_of("a")) for _ in range(2)]
        assert not any(one.called for one in waiting)
    assert all(one.called for one in waiting)
    assert len(under_way) == 0
    assert Deferred.fromCoroutine(under_way.end_of("a")).called, "it has ended already"


def test_a_failure_is_an_end_too() -> None:
    under_way, outcome = UnderWay[str](), Deferred[None]()

    async def fail() -> None:
        with under_way.begun("a"):
            await outcome

    failing = Deferred.fromCoroutine(fail())
    waiting = Deferred.fromCoroutine(under_way.end_of("a"))
    failing.addErrback(lambda failure: failure.trap(ValueError))
    outcome.errback(ValueError("odd"))
    assert waiting.called
    assert "a" not in under_way


def test_who_waits_may_begin_it_again_at_once() -> None:
    under_way = UnderWay[str]()
    order: list[str] = []

    async def again(name: str) -> None:
        while "a" in under_way:
            await under_way.end_of("a")
        with under_way.begun("a"):
            order.append(name)
            await go_on

    go_on: Deferred[None] = Deferred()
    with under_way.begun("a"):
        waiting = [Deferred.fromCoroutine(again(name)) for name in ("first", "second")]
    assert order == ["first"]
    go_on.callback(None)
    assert order == ["first", "second"]
    assert all(one.called for one in waiting)


def test_who_gives_up_waiting_is_not_missed() -> None:
    under_way = UnderWay[str]()
    with under_way.begun("a"):
        gone, there = (Deferred.fromCoroutine(under_way.end_of("a")) for _ in range(2))
        gone.addErrback(lambda failure: failure.trap(CancelledError))
        gone.cancel()
    assert there.called
