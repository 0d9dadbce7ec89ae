"""Invariant 3: a key has at most one effect and one answer, over all retries, masters and epochs.

Across a lost history both may be had a second time: the first is gone. An item is all or nothing.
"""

from collections import Counter
from collections.abc import Iterator

import orjson

from hs_common.matrix.errors import MatrixError
from hs_master.pipeline.writer import ENDS_THE_MASTER
from tests.simulation.intents import FATAL
from tests.simulation.requests import Asked, Told
from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    yield from _effects(world)
    for asked in world.requests.asked:
        if asked.key is not None:
            yield from _answers(world, asked)
    for _, sqlstate, message, item in world.database.refused:
        if message == ENDS_THE_MASTER and FATAL.encode() in item:
            continue
        yield f"an item was refused, though nobody sends what cannot be stored: {message} [{sqlstate}]"


def _effects(world: World) -> Iterator[str]:
    tables = world.database.tables
    marks: Counter[str] = Counter()
    for room_id, json, redacted_by in tables.events.values():
        mark = orjson.loads(json)["content"].get("mark")
        if mark is not None and redacted_by is None:
            marks[mark, room_id] += 1  # type: ignore[index]
    for versions in tables.account_data.values():
        marks.update(orjson.loads(content)["mark"] for _, content in versions)
    for mark, count in marks.items():
        if count > 1:
            yield f"what {mark} asked for once happened {count} times"


def _answers(world: World, asked: Asked) -> Iterator[str]:
    for first, second in zip(asked.told, asked.told[1:], strict=False):
        if _text(first) != _text(second) and not _was_lost(world, first, second):
            yield f"{asked.mark} was answered twice: {_text(first)} and {_text(second)}"


def _text(told: Told) -> str:
    outcome = told.outcome
    return f"{outcome.status} {outcome.errcode}" if isinstance(outcome, MatrixError) else repr(outcome)


def _was_lost(world: World, first: Told, second: Told) -> bool:
    """Whether either answer may be of a lost history: answers pass each other on their way."""
    if isinstance(first.outcome, MatrixError) or isinstance(second.outcome, MatrixError):
        return world.database.lost_tails > 0
    return any(not world.database.holds(told.outcome.pos) for told in (first, second))  # type: ignore[union-attr]
