"""Invariant 4: after an epoch is taken, nothing of an epoch below it is committed."""

from collections.abc import Iterator

from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    for written in world.database.history:
        if written.batch.epoch < written.highest_epoch:
            batch = written.batch
            yield f"a batch of epoch {batch.epoch} was committed at {batch.pos} after epoch {written.highest_epoch}"
