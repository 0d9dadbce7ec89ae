"""What users have read, as other servers show it: of each thread the newest, once all has come to rest.

Every server that was in the room then is told of it, however often it or the teller dies. Who is told takes it in: but
for one whose event came late, or that came while something befell the server, as such receipts wait in memory alone.
"""

from collections.abc import Iterator
from typing import Final

from tests.simulation.federation.actions import Room
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.received_receipts import Came
from tests.simulation.federation.tables import ReceiptKey
from tests.simulation.federation.world import World

EVENT_LATE_S: Final = 12.0
"""A receipt whose event is not here is tried again after 20 and 80 seconds."""
DISTURBED_S: Final = (-130.0, 90.0)
"""Around the arrival of a receipt: what befalls a server lasts for as long as two minutes."""


def failures(world: World) -> Iterator[str]:
    """What was not told, not taken in, or invented."""
    for room in world.actions.rooms:
        for home in world.homes:
            for other in world.homes:
                if home is not other and other.is_in(room.room_id):
                    yield from _invented(home, other, room)
                    if home.is_with(other, room.room_id) and not home.is_kept_from(other, room.room_id):
                        yield from _between(world, home, other, room)


def _keys(home: Homeserver, holder: Homeserver, room: Room) -> list[ReceiptKey]:
    """The receipts of a server's users, as one server has them."""
    return [key for key in holder.tables.receipts if key[0] == room.room_id and home.is_ours(key[1])]


def _invented(home: Homeserver, other: Homeserver, room: Room) -> Iterator[str]:
    for key in _keys(home, other, room):
        row = other.tables.receipts[key]
        if home.tables.receipts_ever[key].get(row.ts) != row.event_id:
            yield f"{other.name} shows a receipt that {home.name} never had: {key}, {row}"


def _between(world: World, home: Homeserver, other: Homeserver, room: Room) -> Iterator[str]:
    since = home.tables.servers[room.room_id][other.name][-1].from_pos
    for key in _keys(home, home, room):
        newest = home.tables.receipts[key]
        if home.membership(room.room_id, key[1]) != "join" or newest.pos <= since:
            continue
        if (key, newest.ts) not in other.site.receipts.told:
            yield f"{home.name} has never told {other.name} of {key}, {newest}"
        must = [one for one in other.site.receipts.came.get(key, ()) if _must_be_taken(other, one)]
        shown = other.tables.receipts.get(key)
        world.counts["receipts that must be shown"] += any(one.ts == newest.ts for one in must)
        world.counts["receipts that are shown"] += shown is not None and shown.ts == newest.ts
        wanted = max(must, default=None)
        if wanted is not None and (shown is None or shown.ts < wanted.ts):
            yield f"{other.name} shows {shown} of {key}, though {wanted} came"


def _must_be_taken(other: Homeserver, came: Came) -> bool:
    place = other.tables.places.get(came.event_id)
    if place is None or place.row[2] != 0 or other.committed_at(place.order_pos) > came.at + EVENT_LATE_S:
        return False  # it was found later
    return not any(came.at + DISTURBED_S[0] <= at <= came.at + DISTURBED_S[1] for at in other.disturbed)
