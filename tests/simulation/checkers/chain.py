"""Invariant 1: the log is one chain, and no position ever has two contents, lost histories included."""

from collections.abc import Iterator

from hs_common.replication.entry import Entry, decode_body
from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    before = 0
    for batch in world.database.kept:
        if batch.prev != before:
            yield f"the batch at {batch.pos} follows {batch.prev}, but the one before it is at {before}"
        before = batch.pos
    yield from _positions(world)
    yield from world.database.broken


def _positions(world: World) -> Iterator[str]:
    given: dict[int, str] = {}
    for written in world.database.history:
        batch = written.batch
        body = decode_body(Entry(batch.epoch, batch.pos, batch.prev, batch.format, batch.body))
        for pos in sorted({batch.pos, *(item.pos for item in body.items)}):
            if pos in given:
                yield f"position {pos} was given out twice, by the batches {given[pos]} and {batch.batch}"
            if not batch.prev < pos <= batch.pos:
                yield f"position {pos} lies outside of its batch ({batch.prev}, {batch.pos}]"
            given[pos] = batch.batch
