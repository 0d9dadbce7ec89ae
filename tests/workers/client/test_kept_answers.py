"""Other servers are asked the same once, however many want to know it at the same time."""

import pytest
from twisted.internet.defer import Deferred

from hs_workers.client.remote.kept_answers import KeptAnswers
from tests.reactor import run


class Elsewhere:
    """Who is asked; `answers` are those that are still to be given."""

    def __init__(self) -> None:
        self.answers: list[Deferred[str]] = []

    async def ask(self) -> str:
        self.answers.append(Deferred())
        return await self.answers[-1]


def test_all_who_wait_get_the_one_answer() -> None:
    elsewhere, kept = Elsewhere(), KeptAnswers[str](lambda: 0.0, 10.0)
    waiting = [Deferred.fromCoroutine(kept.get("key", elsewhere.ask)) for _ in range(3)]
    elsewhere.answers[0].callback("answer")
    assert [one.result for one in waiting] == ["answer"] * 3
    assert len(elsewhere.answers) == 1


def test_a_failure_is_not_kept_and_the_next_asks() -> None:
    elsewhere, kept = Elsewhere(), KeptAnswers[str](lambda: 0.0, 10.0)
    first, second = (Deferred.fromCoroutine(kept.get("key", elsewhere.ask)) for _ in range(2))
    elsewhere.answers[0].errback(ValueError("away"))
    with pytest.raises(ValueError, match="away"):
        run(_result(first))
    elsewhere.answers[1].callback("answer")
    assert second.result == "answer"


def test_an_answer_is_kept_for_a_while() -> None:
    now = [0.0]
    elsewhere, kept = Elsewhere(), KeptAnswers[str](lambda: now[0], 10.0)
    for asked, time in enumerate((0.0, 9.0, 10.0)):
        now[0] = time
        one = Deferred.fromCoroutine(kept.get("key", elsewhere.ask))
        if not one.called:
            elsewhere.answers[-1].callback(f"answer {asked}")
        assert one.result == ("answer 2" if time == 10.0 else "answer 0")


async def _result(deferred: "Deferred[str]") -> str:
    return await deferred
