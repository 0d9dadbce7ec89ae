"""Invariant 6: some seconds after the faults have ended every follower is at the head, also if nobody writes."""

from collections.abc import Iterator

from tests.simulation.world import QUIET_S, World


def check(world: World) -> Iterator[str]:
    head = world.database.head
    for worker in world.running_workers():
        position = worker.follower.position.pos
        if position != head or not worker.follower.is_live:
            yield f"{worker.process.name} is at {position} after {QUIET_S} quiet seconds, the head is at {head}"
