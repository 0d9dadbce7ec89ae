"""The invariants of the failure rules, a file each: `check(world)` gives what is wrong, in words, nothing if all holds.

Invariant 8 is about what leaves the server, and comes with what sends it.
"""

from collections.abc import Iterator

from tests.simulation.checkers import (
    acknowledged,
    at_the_head,
    bounds,
    chain,
    fencing,
    followers,
    keys,
    rooms,
    tokens,
)
from tests.simulation.world import World


def failures(world: World) -> Iterator[str]:
    """Run a world and name everything that is wrong in it."""
    world.run()
    name = f"seed {world.surroundings.seed}"
    # In this order: what followers know by themselves is looked at before users make them look again.
    for number, checker in ((6, at_the_head), (5, followers)):
        yield from (f"{name}: invariant {number}: {violation}" for violation in checker.check(world))
    world.sync_all()
    for number, checker in ((1, chain), (2, acknowledged), (3, keys), (4, fencing), (7, tokens), (9, rooms)):
        yield from (f"{name}: invariant {number}: {violation}" for violation in checker.check(world))
    yield from (f"{name}: invariant 10: {violation}" for violation in bounds.check(world))
    yield from (f"{name}: {violation}" for violation in world.surroundings.violations)
