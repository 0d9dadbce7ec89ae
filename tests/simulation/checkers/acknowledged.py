"""Invariant 2: what was acknowledged is in the log exactly once, unless a fail-over lost it, and then that shows."""

from collections import Counter
from collections.abc import Iterator

from hs_common.replication.calls import Answer, AppendedEvents, RoomCreated
from tests.simulation.requests import Asked
from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    database = world.database
    present = Counter(row.event_id for timeline in database.tables.timeline.values() for row in timeline)
    lost = {str(row[0]) for written in database.history if written.lost for row in _event_rows(written.batch.rows)}
    for asked, answer in _acknowledged(world):
        for event_id in _event_ids(answer):
            if present[event_id] > 1:
                yield f"{event_id}, acknowledged for {asked.mark}, is in the log {present[event_id]} times"
            elif present[event_id] == 0 and event_id not in lost:
                yield f"{event_id}, acknowledged for {asked.mark}, is not in the log"
            elif present[event_id] == 0 and not _shows(world, answer.pos):
                yield f"{event_id}, acknowledged for {asked.mark}, was lost, and its position {answer.pos} hides that"


def _acknowledged(world: World) -> Iterator[tuple[Asked, Answer]]:
    for asked in world.requests.asked:
        for told in asked.told:
            if isinstance(told.outcome, Answer):
                yield asked, told.outcome


def _event_ids(answer: Answer) -> list[str]:
    return answer.event_ids if isinstance(answer, AppendedEvents | RoomCreated) else []


def _event_rows(rows: object) -> list[tuple[object, ...]]:
    assert isinstance(rows, dict), "a batch holds its rows by write"
    return [row for write, written in rows.items() if write.name == "event" for row in written]


def _shows(world: World, pos: int) -> bool:
    """Whether the epochs say that the position was lost. An answer that changed nothing names an earlier commit."""
    return world.database.lost_before(pos) is not None or not world.database.holds(pos)
