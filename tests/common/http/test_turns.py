"""Whoever asks for much at once waits for his turn, and nobody else does."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from hs_common.http import turns
from hs_common.http.turns import FREE, LONGEST_SLICE_S, LONGEST_WAIT_S, RETRY_AFTER_MS, SLICE_S, Turns
from hs_common.matrix.errors import MatrixError

COST_S = SLICE_S / 3.5  # four fit into a slice, the last not quite


class Office:
    """Requests, each of which costs some time and then waits for others."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: list[Callable[[], None]] = []
        self.turns = Turns(lambda _, call: self.due.append(call), lambda: self.now_s)
        self.begun: list[str] = []
        self.asked: list[tuple[Deferred[None], Deferred[None]]] = []  # kept: what is collected has ended

    def ask(self, origin: str) -> "tuple[Deferred[None], Deferred[None]]":
        """One request: the whole of it, and what ends it."""
        over: Deferred[None] = Deferred()

        async def work() -> None:
            with self.turns.taking(origin) as turn:
                if turn is not None:
                    await turn
                self.begun.append(origin)
                self.now_s += COST_S
                await over

        self.asked.append((Deferred.fromCoroutine(work()), over))
        return self.asked[-1]

    def turn(self) -> list[str]:
        """What one turn of the reactor begins."""
        before = len(self.begun)
        due, self.due = self.due, []
        for call in due:
            call()
        return self.begun[before:]


def test_who_asks_for_little_never_waits() -> None:
    office = Office()
    for _ in range(FREE):
        office.ask("@human")
    assert office.begun == ["@human"] * FREE
    _, over = office.ask("@browser")
    over.callback(None)
    assert office.turns.waiting == 0
    assert office.due == []


def test_a_flood_is_begun_in_slices_and_others_pass() -> None:
    office = Office()
    for _ in range(FREE + 10):
        office.ask("bridge")
    assert len(office.begun) == FREE
    assert office.turn() == ["bridge"] * 4
    office.ask("@human")
    assert office.begun[-1] == "@human"
    assert [len(office.turn()) for _ in range(3)] == [4, 2, 0]
    assert office.turns.waiting == 0


def test_floods_take_turns() -> None:
    office = Office()
    for origin in ("one", "two"):
        for _ in range(FREE + 4):
            office.ask(origin)
    assert office.turn()[:4] == ["one", "two", "one", "two"]


def test_requests_that_have_ended_make_room() -> None:
    office = Office()
    asked = [office.ask("bridge") for _ in range(FREE)]
    asked[0][1].callback(None)
    office.ask("bridge")
    assert len(office.begun) == FREE + 1


def test_who_has_gone_is_passed_over_and_holds_up_nobody() -> None:
    office = Office()
    for _ in range(FREE):
        office.ask("bridge")
    gone, _ = office.ask("bridge")
    office.ask("bridge")
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    gone.cancel()
    assert office.turn() == ["bridge"]


def test_far_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAITING_LIMIT", 2)
    office = Office()
    asked = [office.ask("bridge")[0] for _ in range(FREE + 3)]
    refused: list[Failure] = []
    asked[-1].addErrback(refused.append)
    (error,) = (failure.value for failure in refused)
    assert isinstance(error, MatrixError)
    assert (error.status, error.errcode) == (429, "M_LIMIT_EXCEEDED")
    office.ask("@human")
    assert office.begun[-1] == "@human"


def test_who_would_wait_too_long_is_asked_to_come_back() -> None:
    office = Office()
    for _ in range(FREE):
        office.ask("bridge")
    refused: list[Any] = []
    office.ask("bridge")[0].addErrback(refused.append)
    office.now_s += LONGEST_WAIT_S + 1
    office.ask("bridge")
    assert office.turn() == ["bridge"]
    error = refused[0].value
    assert isinstance(error, MatrixError)
    assert (error.status, error.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert error.fields == {"retry_after_ms": RETRY_AFTER_MS}
    assert office.turns.waiting == 0


def test_a_slice_grows_with_what_else_there_is_to_do_and_not_beyond_bounds() -> None:
    office = Office()
    for _ in range(FREE + 100):
        office.ask("bridge")
    office.turn()
    usual = SLICE_S / COST_S
    office.now_s += 2 * SLICE_S
    assert usual < len(office.turn()) <= 2 * usual + 1
    office.now_s += 1.0
    assert 2 * usual < len(office.turn()) <= LONGEST_SLICE_S / COST_S + 1
