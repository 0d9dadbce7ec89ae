"""The parts of `bench limits`: who sends on whatever he is answered, what is called full, what an audit finds."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.http_client import Address, Answer
from tests.bench.limits.audit import Audit, audit
from tests.bench.limits.beyond import Aftermath, Pushed
from tests.bench.limits.findings import aftermath_lines, beyond_rows, growth_rows, summary_lines
from tests.bench.limits.growth import Done, Step, first_full
from tests.bench.limits.sender import Sender, Tally, load
from tests.bench.limits.watch import Seen, machine_times, queues_of, shares_of
from tests.bench.matrix_client import Client


class Moody(Client):
    """A user whose server refuses, breaks off and answers as it is told to, then always answers."""

    def __init__(self, answers: Sequence[Answer | OSError]) -> None:
        super().__init__(Address("http://127.0.0.1:1"))
        self.paths: list[str] = []
        self._answers = list(answers)

    async def attempt(self, method: str, path: str, body: Any) -> Answer:
        await asyncio.sleep(0.001)
        self.paths.append(path)
        answer = self._answers.pop(0) if self._answers else Answer(200, b'{"event_id":"$%d"}' % len(self.paths))
        if isinstance(answer, OSError):
            raise answer
        return answer


def refusal(status: int, **fields: Any) -> Answer:
    return Answer(status, orjson.dumps({"errcode": "M_LIMIT_EXCEEDED", **fields}))


def sent_by(user: Moody) -> tuple[Sender, Tally]:
    """What becomes of the first messages."""
    sender, tally = Sender(user, "!room", "s0"), Tally()
    asyncio.run(load([sender], 0.03, tally))
    return sender, tally


def test_what_is_refused_is_sent_again_by_the_same_transaction() -> None:
    user = Moody([refusal(429, retry_after_ms=1), refusal(503, retry_after_ms=2), Answer(200, b'{"event_id":"$a"}')])
    sender, tally = sent_by(user)
    assert sender.acknowledged[0] == "$a"
    assert set(user.paths[:3]) == {user.paths[0]}
    assert user.paths[0] not in user.paths[3:]
    assert (tally.refused, tally.retry_after_ms, tally.faults) == ({429: 1, 503: 1}, [1, 2], {})
    assert len(sender.acknowledged) == len(tally.latencies_ms)


def test_what_a_server_must_not_do_is_a_fault() -> None:
    tally = Tally()
    for answer in (refusal(429), refusal(500), Answer(503, b"<html>")):
        assert tally.refuse(answer) > 0
    assert tally.refused == {429: 1, 503: 1}
    assert [name[:3] for name in tally.faults] == ["429", "500"]


events = st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=12)


@given(events, st.data())
def test_an_audit_finds_what_is_wrong_and_nothing_else(found: list[str], data: st.DataObject) -> None:
    mine = [event for event in found if data.draw(st.booleans())]
    assert audit([mine], found) == Audit(len(mine))
    if mine:
        gone = data.draw(st.sampled_from(mine))
        assert audit([mine], [event for event in found if event != gone]).lost == 1
        assert audit([mine], [*found, gone]).twice == 1
    if len(mine) > 1:
        assert audit([mine[::-1]], found).out_of_order == len(mine) - 1


def test_full_is_a_process_then_the_machine_then_nothing() -> None:
    shares = shares_of({("master", 1): 0.0, ("client", 2): 100.0}, {("master", 1): 900.0, ("client", 2): 300.0}, 1.0)
    assert shares == {"master": 0.9, "client": 0.2}
    assert (Seen(shares).full() or "").startswith("master")
    assert "cores" in (Seen({"master": 0.5}, machine=0.99).full() or "")
    assert Seen({"master": 0.5}, machine=0.5).full() is None


def test_queues_and_times_are_read() -> None:
    told = 'viaduct_queue_length{queue="calls"} 7.0\nviaduct_queue_length{queue="waiting syncs"} 90.0\n'
    assert queues_of(told + 'viaduct_queue_length{queue="push"} 0.0\n') == {"calls": 7}
    assert machine_times("cpu  5 0 3 90 2 0 0 0 0 0\ncpu0 1\n") == (8, 100)


def step(in_flight: int, per_s: float, full: str | None) -> Step:
    seen = Seen({"client": 0.99 if full else 0.1}, queues={"client: requests": 3})
    done = Done(100, per_s, 1.0, 10.0, 20.0)
    return Step(100, 10, in_flight, 500.0, {"send": done}, {"send": seen})


def test_the_step_from_which_no_more_was_sent_is_named() -> None:
    steps = [step(8, 400, None), step(32, 900, "client"), step(128, 920, "client")]
    assert first_full(steps) is steps[1]
    assert first_full(steps[:2]) is None
    assert "client (one process at 99%" in " ".join(summary_lines(steps, []))


def test_findings_tell_of_refusals_and_of_what_is_wrong() -> None:
    tally = Tally([5.0], {429: 2}, [1000, 3000], {"500 b''": 1})
    pushed = Pushed("one service", 100, 50.0, tally, Seen(), [1.0, 2.0], 0)
    assert growth_rows([step(8, 400, None)])[1][2] == "8"
    assert {"2 × 429", "1000 to 3000"} <= set(beyond_rows([pushed])[1])
    assert any(line.startswith("WRONG: 1 times 500") for line in summary_lines([step(8, 400, None)], [pushed]))
    well = Aftermath(5.0, 1.0, 2.0, Audit(9), Audit(9))
    assert well.is_well
    assert not Aftermath(5.0, None, 2.0, Audit(9), Audit(9)).is_well
    assert any(line.startswith("WEDGED") for line in aftermath_lines(Aftermath(5.0)))
