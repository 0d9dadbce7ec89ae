"""The one test that every follower puts to what it hears of the log, whoever carries it. Pure.

`mine` is the position that the follower has reached. Positions are never used twice, not even by a history that a
fail-over of Postgres lost, so a position stands for one content, and four cases are all there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hs_common.replication.carrier import Beat, Position
from hs_common.replication.entry import Entry


class Verdict(Enum):
    """What to do with an entry or a beat."""

    APPLY = "it is the next one"
    IGNORE = "known already"
    HOLE = "something before it is missing: read the outbox"
    LOST = "the history held here is no longer in the log: drop every cache, start at the head"


@dataclass(frozen=True, slots=True)
class PageVerdict:
    """What to do with a page of the outbox: entries to apply in order, and whether to start again at the head."""

    apply: Sequence[Entry]
    restart: bool


def judge(mine: int, prev: int, pos: int) -> Verdict:
    """The test itself, of an entry at `pos` that follows `prev`."""
    if prev == mine:
        return Verdict.APPLY
    if pos <= mine:
        return Verdict.IGNORE
    if prev > mine:
        return Verdict.HOLE
    return Verdict.LOST  # prev < mine < pos: the log goes on from below what is held here


def judge_beat(mine: Position, beat: Beat) -> Verdict:
    """The same for a beat, heard after all entries before it. IGNORE: nothing is missing."""
    if beat.epoch < mine.epoch:
        return Verdict.IGNORE  # a leader that does not know yet that it is none
    if beat.head > mine.pos:
        return Verdict.HOLE
    if beat.head < mine.pos and beat.epoch > mine.epoch:
        return Verdict.LOST  # a leader starts at or above all that was committed before it
    return Verdict.IGNORE


def judge_page(mine: int, page: Sequence[Entry]) -> PageVerdict:
    """The same for entries of the outbox above `mine`, as it was when they were asked for.

    In the outbox a hole is no hole: the entries between were pruned, and starting at the head is all that is left.
    """
    joined: list[Entry] = []
    for entry in page:
        match judge(mine, entry.prev, entry.pos):
            case Verdict.APPLY:
                joined.append(entry)
                mine = entry.pos
            case Verdict.HOLE | Verdict.LOST:
                return PageVerdict(joined, restart=True)
            case Verdict.IGNORE:
                continue  # another source was faster than this page
    return PageVerdict(joined, restart=False)
