"""Runs worlds of servers one after the other."""

from collections.abc import Iterable
from contextlib import ExitStack
from unittest import mock

from hs_common.process import shares
from hs_common.process.shares import Timing
from tests.simulation import clock, garbage
from tests.simulation.federation import checkers
from tests.simulation.federation.database import SHARDS
from tests.simulation.federation.world import World
from tests.simulation.seeds import Outcome, Report, run_each
from tests.simulation.world import failures_noted

CALLS_LIMIT = 2_000_000
TIMING = Timing(look_s=2.5, renew_s=2.5)  # seldom: most of what an idle world does is to look
_WAITS = {
    "hs_common.federation.backfilling.AGAIN_S": (2.0, 2.0),  # a reader comes back for three seconds at the earliest
    "hs_common.federation.join_leases.LONGEST_S": 300.0,
    "hs_common.federation.states_before.PATIENT_TRIES": 5,  # others are away for longer than five tries take here
    "hs_workers.federation_inbound.room_queues.RETRY_S": 3.0,
    "hs_workers.federation_sender.sender.LONGEST_RETRY_S": 240.0,
    "hs_workers.federation_sender.sender.LONG_AWAY_FAILURES": 3,
}
"""Shorter than in life, as faults are: what an idle world does is what most of its time would go to."""
_SHARDED = (
    "hs_workers.federation_inbound.staging.shard_of",
    "hs_workers.federation_inbound.room_queues.shard_of",
    "hs_workers.federation_sender.deliveries.shard_of",
)


def run_seeds(seeds: Iterable[int], stop_at_first: bool = False) -> Report:
    return run_each(seeds, _run_seed, stop_at_first)


def _run_seed(seed: int) -> Outcome:
    with garbage.kept(), ExitStack() as stack:
        stack.enter_context(mock.patch.object(clock, "CALLS_LIMIT", CALLS_LIMIT))
        stack.enter_context(mock.patch.object(shares, "Timing", return_value=TIMING))
        for name, seconds in _WAITS.items():
            stack.enter_context(mock.patch(name, seconds))
        for name in _SHARDED:
            stack.enter_context(mock.patch(name, _shard_of))
        world = World(seed)
        stack.enter_context(failures_noted(world.violation))
        failures = []
        try:
            world.run()
        except Exception as error:
            failures.append(f"seed {seed}: at {world.clock.now:.3f} s: {error!r}")
        failures += checkers.failures(world)
        counts = sum((home.world.counts for home in world.homes), world.counts)
        return Outcome(failures, counts, world.fingerprint)


def _shard_of(target: str) -> int:
    return sum(target.encode()) % SHARDS
