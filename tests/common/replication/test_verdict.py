"""The one test, against a model that knows the whole history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.carrier import Beat, Position
from hs_common.replication.entry import Entry
from hs_common.replication.verdict import Verdict, judge, judge_beat, judge_page

STEPS = st.lists(st.integers(1, 5), min_size=1, max_size=12)


def chain(start: int, steps: list[int]) -> list[Entry]:
    """Entries whose positions rise by the steps, the first after `start`."""
    entries: list[Entry] = []
    for step in steps:
        entries.append(Entry(1, start + step, start, 1, b""))
        start += step
    return entries


@given(STEPS, st.data())
def test_in_one_history(steps: list[int], data: st.DataObject) -> None:
    entries = chain(0, steps)
    mine = data.draw(st.sampled_from([0, *(entry.pos for entry in entries)]))
    after = [entry for entry in entries if entry.pos > mine]
    for entry in entries:
        if entry.pos <= mine:
            expected = Verdict.IGNORE
        else:
            expected = Verdict.APPLY if entry is after[0] else Verdict.HOLE
        assert judge(mine, entry.prev, entry.pos) is expected


@given(STEPS, STEPS, STEPS)
def test_a_lost_history_never_continues(kept: list[int], lost: list[int], new: list[int]) -> None:
    history = chain(0, kept)
    gone = chain(history[-1].pos, lost)
    shift = gone[-1].pos  # the new leader starts above all that was ever given
    first = Entry(2, shift + new[0], history[-1].pos, 1, b"")
    later = chain(first.pos, new)
    for holder in gone:
        assert judge(holder.pos, first.prev, first.pos) is Verdict.LOST
        assert all(judge(holder.pos, entry.prev, entry.pos) is Verdict.HOLE for entry in later)
        assert judge_page(holder.pos, [first, *later]).restart
        assert judge_beat(Position(1, holder.pos), Beat(2, history[-1].pos, "")) is Verdict.LOST


@given(STEPS, st.data())
def test_a_page_that_joins_is_applied_whole(steps: list[int], data: st.DataObject) -> None:
    entries = chain(0, steps)
    known = data.draw(st.integers(0, len(entries)))
    mine = entries[known - 1].pos if known else 0
    verdict = judge_page(mine, entries)
    assert list(verdict.apply) == entries[known:]
    assert not verdict.restart


def test_a_pruned_page_restarts() -> None:
    verdict = judge_page(3, chain(5, [1, 1]))
    assert verdict.restart
    assert verdict.apply == []


@pytest.mark.parametrize(
    ("epoch", "head", "expected"),
    [
        (1, 99, Verdict.IGNORE),  # a leader of the past
        (2, 10, Verdict.IGNORE),
        (2, 9, Verdict.IGNORE),  # the outbox was faster than the carrier
        (2, 11, Verdict.HOLE),
        (3, 11, Verdict.HOLE),
        (3, 10, Verdict.IGNORE),
        (3, 9, Verdict.LOST),
    ],
)
def test_beats(epoch: int, head: int, expected: Verdict) -> None:
    assert judge_beat(Position(2, 10), Beat(epoch, head, "")) is expected
