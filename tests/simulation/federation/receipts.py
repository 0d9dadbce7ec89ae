"""What users have read, as other servers show it: of each thread the newest, once all has come to rest.

Every server that was in the room then is told of it, however often it or the teller dies. Who is told takes it in, or
keeps it until its event is here and its time has come, however often he dies meanwhile.
"""

from collections.abc import Iterator

from tests.simulation.federation.actions import Room
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.received_receipts import Came
from tests.simulation.federation.tables import ReceiptKey
from tests.simulation.federation.world import World


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
        must = [one for one in other.site.receipts.came.get(key, ()) if _must_be_taken(other, key, one)]
        shown = other.tables.receipts.get(key)
        world.counts["receipts that must be shown"] += any(one.ts == newest.ts for one in must)
        world.counts["receipts that are shown"] += shown is not None and shown.ts == newest.ts
        wanted = max(must, default=None)
        if wanted is not None and (shown is None or shown.ts < wanted.ts):
            yield f"{other.name} shows {shown} of {key}, though {wanted} came"


def _must_be_taken(other: Homeserver, key: ReceiptKey, came: Came) -> bool:
    room_id, user_id, _, thread_id = key
    waiting = other.database.workers.waiting.get((room_id, user_id, thread_id))
    return came.event_id in other.tables.places and (waiting is None or waiting.ts < came.ts)
