"""Reads that are shared by those who wait for them: how many there are, what is answered to whom, and failures."""

from collections.abc import Mapping

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from hs_common.storage.shared_reads import KEYS_LIMIT, SharedReads


class Statements:
    """A database that answers when it is told to: each key with its length, and nothing for the empty one."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self._under_way: list[Deferred[None]] = []
        self.reads = SharedReads(self._fetch)

    async def _fetch(self, keys: list[str]) -> Mapping[str, int]:
        self.asked.append(keys)
        done: Deferred[None] = Deferred()
        self._under_way.append(done)
        await done
        return {key: len(key) for key in keys if key}

    def ask(self, key: str) -> "Deferred[int | None]":
        return Deferred.fromCoroutine(self.reads.read(key))

    def answer(self) -> None:
        self._under_way.pop(0).callback(None)

    def fail(self) -> None:
        self._under_way.pop(0).errback(Failure(RuntimeError("away")))


def result(deferred: "Deferred[int | None]") -> int | None:
    """What has come of it."""
    found: list[int | None] = []
    deferred.addCallback(found.append)
    assert found, "not answered"
    return found[0]


def test_who_comes_while_a_statement_is_under_way_shares_the_next() -> None:
    statements = Statements()
    first = statements.ask("a")
    others = [statements.ask(key) for key in ("bb", "a", "bb", "")]
    assert statements.asked == [["a"]]
    statements.answer()
    assert result(first) == 1
    assert statements.asked[1:] == [["bb", "a", ""]], "what was asked later is read later, though it was read just now"
    statements.answer()
    assert [result(other) for other in others] == [2, 1, 2, None]


def test_a_failure_is_that_of_its_statement_alone() -> None:
    statements = Statements()
    first, second = statements.ask("a"), statements.ask("bb")
    statements.fail()
    failures: list[Failure] = []
    first.addErrback(failures.append)
    with pytest.raises(RuntimeError, match="away"):
        failures[0].raiseException()
    statements.answer()
    assert result(second) == 2


def test_who_has_gone_is_not_missed() -> None:
    statements = Statements()
    first, second = statements.ask("a"), statements.ask("bb")
    first.addErrback(lambda _: None)
    first.cancel()
    statements.answer()
    statements.answer()
    assert result(second) == 2


def test_a_statement_is_bounded() -> None:
    statements = Statements()
    statements.ask("first")
    waiting = [statements.ask(f"{number:04}") for number in range(KEYS_LIMIT + 1)]
    statements.answer()
    assert [len(keys) for keys in statements.asked] == [1, KEYS_LIMIT]
    statements.answer()
    statements.answer()
    assert [result(one) for one in waiting] == [4] * (KEYS_LIMIT + 1)
