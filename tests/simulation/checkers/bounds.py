"""Invariant 10: each request ends within 10 s, and what is kept in memory stays under its named limit."""

from collections.abc import Iterator

from hs_common.replication import names
from hs_master import step
from hs_master.pipeline import intake
from hs_master.rooms import head
from tests.simulation.masters import MasterProcess
from tests.simulation.world import World

_ONE_LOAD = 20  # entries of the state that may come at once; the limit is looked at with the next event


def check(world: World) -> Iterator[str]:
    yield from world.requests.too_long
    for place in world.masters:
        if place.running is not None:
            yield from _check_master(place.running)


def _check_master(master: MasterProcess) -> Iterator[str]:
    name = master.process.name
    if len(master.carrier._queue) > names.QUEUE_ENTRIES:
        yield f"the carrier of {name} holds {len(master.carrier._queue)} entries"
    for term in master.terms[-1:]:
        knowledge = term._intake._knowledge
        if term.waiting > intake.MAXIMUM_WAITING:
            yield f"{term.waiting} calls wait in {name}"
        if len(knowledge.heads) > step.MAXIMUM_HEADS:
            yield f"{name} holds {len(knowledge.heads)} heads"
        for room in knowledge.heads.values():
            if len(room.state) > head.MAXIMUM_HELD_STATE + _ONE_LOAD:
                yield f"{name} holds {len(room.state)} entries of the state of {room.room_id}"
