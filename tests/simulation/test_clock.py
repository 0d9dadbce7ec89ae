"""Virtual time, and processes that freeze and die."""

from tests.simulation.clock import Process, VirtualClock


def test_calls_are_made_in_order_and_cancelled_ones_are_not() -> None:
    clock, made = VirtualClock(), list[str]()
    clock.callLater(2.0, made.append, "late")
    clock.callLater(1.0, made.append, "first")
    clock.callLater(1.0, made.append, "second")
    clock.callLater(1.5, made.append, "cancelled").cancel()
    clock.run_until(10.0)
    assert made == ["first", "second", "late"]
    assert clock.now == 10.0


def test_a_frozen_process_makes_its_calls_when_it_goes_on_and_can_still_cancel_them() -> None:
    clock, made = VirtualClock(), list[str]()
    process = Process(clock, "a process")
    process.callLater(1.0, made.append, "held")
    regretted = process.callLater(1.0, made.append, "regretted")
    process.freeze()
    clock.run_until(5.0)
    assert made == []
    assert regretted.active()
    regretted.cancel()
    process.thaw()
    clock.run_until(6.0)
    assert made == ["held"]
    assert process.frozen_seconds == 4.0


def test_a_dead_process_does_nothing_more() -> None:
    clock, made = VirtualClock(), list[str]()
    process = Process(clock, "a process")
    process.callLater(1.0, made.append, "never")
    process.kill()
    clock.run_until(5.0)
    assert made == []
