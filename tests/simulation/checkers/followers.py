"""Invariant 5: a follower at P holds what a fresh one built from the tables at P holds."""

from collections.abc import Iterator

from tests.simulation.mirror import Derived, fresh
from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    for worker in world.running_workers():
        pos = worker.follower.position.pos
        held, right = worker.mirror.derived, fresh(world.database, pos)
        for what in _differences(held, right):
            yield f"the follower of {worker.process.name} at {pos} {what}"


def _differences(held: Derived, right: Derived) -> Iterator[str]:
    if held.news != right.news:
        missing = [one for one in right.news if one not in held.news]
        wrong = [one for one in held.news if one not in right.news]
        yield f"lacks {missing[:3]} and holds {wrong[:3]} wrongly, or in another order"
    if held.state != right.state:
        yield "holds another state of a room"
    if held.account_data != right.account_data:
        yield "holds other account data"
