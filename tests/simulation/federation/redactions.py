"""What must be true of redactions at the end of a world: nobody was shown one before what it redacts, none waits for
what is here, and what was redacted is.
"""

from collections.abc import Iterator

from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.world import World


def failures(world: World, home: Homeserver) -> Iterator[str]:
    tables = home.tables
    world.counts["redactions that waited"] += len(tables.late)
    world.counts["redactions that wait"] += len(tables.held)
    yield from (f"{home.name} has shown {one} before what it redacts" for one in tables.too_early)
    if world.has_rested:
        for (target, one), row in tables.held.items():
            if tables.is_shown(target) and home.is_in(str(row[2])):
                yield f"{home.name}: {one} waits for {target}, which is here"
    for place in tables.places.values():
        redacts = tables.target_of(place.event_id) if place.row[5] == "m.room.redaction" else None
        if redacts is not None and tables.is_shown(redacts) and tables.events[redacts][2] is None:
            yield f"{home.name} shows {redacts} whole beside {place.event_id}, which redacts it"
