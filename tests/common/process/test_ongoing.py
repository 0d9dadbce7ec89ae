"""Work that goes on: until it is stopped or ends by itself, whatever breaks it off."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from hs_common.process.ongoing import AGAIN_S, Ongoing


class Turns:
    """Work whose turns end as told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns: list[Deferred[None]] = []
        self.ongoing = Ongoing(self.clock, "a work", self._turn)

    async def _turn(self) -> None:
        turn: Deferred[None] = Deferred()
        self.turns.append(turn)
        await turn


def test_a_fault_is_said_and_begins_it_anew() -> None:
    one = Turns()
    one.ongoing.start()
    for fault in (ValueError("a bug"), CancelledError()):
        with capturedLogs() as logs:
            one.turns[-1].errback(fault)
        assert [log["log_failure"].value for log in logs] == [fault]
        count = len(one.turns)
        one.clock.advance(AGAIN_S / 2)
        assert len(one.turns) == count
        one.clock.advance(AGAIN_S / 2)
        assert len(one.turns) == count + 1


def test_what_ends_by_itself_has_ended() -> None:
    one = Turns()
    one.ongoing.start()
    one.turns[0].callback(None)
    assert not one.clock.getDelayedCalls()
    one.ongoing.stop()
    assert len(one.turns) == 1


def test_stopped_while_it_works_and_while_it_rests() -> None:
    working, resting, never = Turns(), Turns(), Turns()
    working.ongoing.start()
    resting.ongoing.start()
    with capturedLogs():
        resting.turns[0].errback(ValueError("a bug"))
    with capturedLogs() as logs:
        for one in (working, resting, never):
            one.ongoing.stop()
            one.ongoing.stop()
    assert logs == []
    assert not resting.clock.getDelayedCalls()
    assert (len(working.turns), len(resting.turns), len(never.turns)) == (1, 1, 0)


def test_begun_again_after_a_stop() -> None:
    one = Turns()
    one.ongoing.start()
    one.ongoing.stop()
    one.ongoing.start()
    with capturedLogs():
        one.turns[-1].errback(ValueError("a bug"))
    one.clock.advance(AGAIN_S)
    assert len(one.turns) == 3
