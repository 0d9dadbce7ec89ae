"""What must be true at the end of a world of servers."""

from collections.abc import Iterator
from itertools import combinations

import orjson

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage.room_forks import ACCEPTED, REJECTED, SOFT_FAILED
from hs_master.rooms.placing import MAXIMUM_EXTREMITIES
from tests.simulation.federation import receipts, redactions, to_devices, transactions, typists
from tests.simulation.federation.actions import Room
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.world import World


def failures(world: World) -> Iterator[str]:
    """Everything that is wrong, said so that one finds it again."""
    for text in _all(world):
        yield f"seed {world.seed}: {text}"


def _all(world: World) -> Iterator[str]:
    yield from world.violations
    for home in world.homes:
        yield from (f"{home.name}: {text}" for text in (*home.world.violations, *home.database.broken))
        yield from _nobody_is_rejected(world, home)
        yield from (f"{home.name} has let in {text}" for text in home.site.received.let_in)
        yield from redactions.failures(world, home)
    yield from transactions.failures(world)
    yield from to_devices.failures(world)
    if world.has_rested:
        yield from receipts.failures(world)
        yield from typists.failures(world)
    for room in world.actions.rooms:
        inside = [home for home in world.homes if home.is_in(room.room_id)]
        for home in inside:
            yield from _one(home, room)
        for one, other in combinations(inside, 2):
            if one.is_kept_from(other, room.room_id):
                world.counts["servers that are kept from each other"] += 1
            elif one.is_with(other, room.room_id):
                yield from _two(world, one, other, room)
                yield from _everything_came(world, one, other, room)
                yield from _everything_came(world, other, one, room)
                yield from _history_came(one, other, room)
                yield from _history_came(other, one, room)
            else:
                world.counts["servers that are parted for good"] += 1
                if set(one.tables.extremities(room.room_id)) == set(other.tables.extremities(room.room_id)):
                    yield f"{one.name} and {other.name} have the same newest events in {room.room_id}, and are parted"


def _nobody_is_rejected(world: World, home: Homeserver) -> Iterator[str]:
    """All servers here are honest."""
    for event_id, status in home.tables.status.items():
        pdu = orjson.loads(home.tables.events[event_id][1])
        world.counts["events of who was let in"] += "join_authorised_via_users_server" in pdu["content"]
        # Who is invited by one server and joins by another has two memberships, of which one comes too late.
        is_calm = world.style.is_calm and pdu["type"] != "m.room.member" and not home.tables.waits(event_id)
        if status == REJECTED or (status == SOFT_FAILED and is_calm):
            word = "rejected" if status == REJECTED else "soft failed in a calm world"
            yield f"{home.name} {word}: {event_id} {pdu['type']} of {pdu['sender']}, {pdu['content']}"


def _one(home: Homeserver, room: Room) -> Iterator[str]:
    """A server's rows of one room agree with each other."""
    tables, room_id = home.tables, room.room_id
    ends = tables.extremities(room_id)
    if len(ends) > MAXIMUM_EXTREMITIES:
        yield f"{home.name} has {len(ends)} extremities in {room_id}"
    pdus = {one: orjson.loads(json) for one, (of, json, _) in tables.events.items() if of == room_id}
    for end in ends:
        cited = pdus[end]["prev_events"]
        behind = _ancestors(
            pdus, cited if ROOM_VERSIONS[room.version].event_id_is_hash else [one[0] for one in cited], room
        )
        if not behind.isdisjoint(ends):
            yield f"{home.name}: {behind & {*ends}} are newest events of {room_id}, and so is {end}, which follows them"
    current = {key: row.event_id for key, row in tables.current_rows(room_id)}
    if len(ends) == 1:
        after = _state_after(home, ends[0])
        if after is not None and after != current:
            different = _difference(current, after)
            yield f"{home.name}: the state of {room_id} is not that after its one newest event: {different}"
    for user_id in home.users:
        row = tables.current(room_id, "m.room.member", user_id)
        mine, in_state = home.membership(room_id, user_id), row.membership if row else None
        if mine != in_state:
            yield f"{home.name}: {user_id} in {room_id} is {mine}, in the state {in_state}"
    servers = {user_id.partition(":")[2] for user_id in home.members(room_id)}
    if servers != set(tables.servers_now(room_id)):
        yield f"{home.name}: the servers of {room_id} are {tables.servers_now(room_id)}, by the state {servers}"


def _state_after(home: Homeserver, event_id: str) -> dict[tuple[str, str], str] | None:
    state = home.tables.state_before(event_id)
    if state is None:
        return None
    pdu = orjson.loads(home.tables.events[event_id][1])
    return {**state, (pdu["type"], pdu["state_key"]): event_id} if "state_key" in pdu else state


def _two(world: World, one: Homeserver, other: Homeserver, room: Room) -> Iterator[str]:
    """Two servers in a room have the same of it."""
    room_id = room.room_id
    states = [{key: row.event_id for key, row in home.tables.current_rows(room_id)} for home in (one, other)]
    names = f"{one.name} and {other.name} in {room_id} (version {room.version})"
    for event_id in one.tables.places:
        if event_id in other.tables.places and one.tables.events[event_id][0] == room_id:
            mine, theirs = one.tables.state_before(event_id), other.tables.state_before(event_id)
            if mine is not None and theirs is not None and mine != theirs:
                pdu = orjson.loads(one.tables.events[event_id][1])
                yield f"{names}: another state before {event_id} {pdu['type']}: {_difference(mine, theirs)}"
                break
    ends = [set(home.tables.extremities(room_id)) for home in (one, other)]
    if ends[0] == ends[1]:
        if states[0] != states[1]:
            yield f"{names}: another state: {_difference(*states)}"
        return
    # What is soft failed is built upon by its own server alone, which so may keep a branch that others have not.
    world.counts["servers with other newest events"] += 1
    for home, holder, only in ((other, one, ends[0] - ends[1]), (one, other, ends[1] - ends[0])):
        unknown = [one for one in only if home.tables.status.get(one) not in (ACCEPTED, SOFT_FAILED)]
        unknown = [event_id for event_id in unknown if _is_told(world, holder, home, event_id, room)]
        if unknown:
            yield f"{names}: {home.name} has never got {unknown}"
    # Redactions that waited for what they redact are accepted later, and the room has gone on without them.
    late = one.tables.late | other.tables.late
    if all(home.tables.status.get(one) == ACCEPTED for home in (one, other) for one in ends[0] ^ ends[1] - late):
        yield f"{names}: other newest events, though all are accepted by both: {ends}"


def _is_told(world: World, holder: Homeserver, home: Homeserver, event_id: str, room: Room) -> bool:
    """Whether who sent an event, as one server has it, knows of another: else that is told when somebody cites it."""
    sender = orjson.loads(holder.tables.events[event_id][1])["sender"]
    return any(other.is_ours(sender) and other.is_with(home, room.room_id) for other in world.homes)


def _difference(one: dict[tuple[str, str], str], other: dict[tuple[str, str], str]) -> str:
    different = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    return ", ".join(f"{'|'.join(key)}: {one.get(key)} / {other.get(key)}" for key in different)


def _everything_came(world: World, home: Homeserver, other: Homeserver, room: Room) -> Iterator[str]:
    """A server has every event that another has got since this came in, if it is not of before it came itself."""
    pdus = {
        place.event_id: orjson.loads(one.tables.events[place.event_id][1])
        for one in (home, other)
        for place in one.tables.timeline[room.room_id]
    }
    join, known = _entered_by(home, room), home.tables.status
    # What was not told when it was asked for is a gap of the timeline, which is filled when somebody reads there.
    gaps = [one for (room_id, _), row in home.tables.gaps.items() if room_id == room.room_id for one in row.wanted]
    before = _ancestors(pdus, [*gaps, *([] if join is None else [join])], room)
    depth = 0 if join is None else pdus[join]["depth"]
    since = other.tables.servers[room.room_id][other.name][-1].from_pos
    got = [place.event_id for place in other.tables.timeline[room.room_id] if place.order_pos >= since]
    new = [one for one in got if one not in before and pdus[one]["depth"] >= depth]
    # Of more branches than a room may have, one is given up: who was not thought to be there then is not told of it.
    kept = _ancestors(pdus, other.tables.extremities(room.room_id), room)
    new = [one for one in new if one in kept]
    lacking = [one for one in new if known.get(one, REJECTED) > SOFT_FAILED]
    ends = other.tables.extremities(room.room_id)  # what is cited is asked for, whoever sent it
    lacking = [one for one in lacking if one not in ends or _is_told(world, other, home, one, room)]
    if lacking:
        kinds = [pdus[one]["type"] for one in lacking[:3]]
        yield f"{home.name} lacks {len(lacking)} events of {other.name} in {room.room_id}: {lacking[:3]} {kinds}"


def _history_came(home: Homeserver, other: Homeserver, room: Room) -> Iterator[str]:
    """Where everything was read, and nobody is left who could not be asked, a server has all of a room's past."""
    pdus = {
        event_id: orjson.loads(json)
        for one in (other, home)
        for event_id, (room_id, json, _) in one.tables.events.items()
        if room_id == room.room_id
    }
    past = _ancestors(pdus, home.tables.extremities(room.room_id), room)
    shown = [place for places in (other.tables.timeline, other.tables.history) for place in places[room.room_id]]
    known = home.tables.status
    lacking = [one.event_id for one in shown if one.event_id in past and known.get(one.event_id, 3) > SOFT_FAILED]
    if lacking:
        kinds = [pdus[one]["type"] for one in lacking[:3]]
        gaps = [row.wanted for (room_id, _), row in home.tables.gaps.items() if room_id == room.room_id]
        yield (
            f"{home.name} has no history of {room.room_id}: it lacks {len(lacking)} events that {other.name} shows, "
            f"{lacking[:3]} {kinds}, and has gaps before {gaps[:3]}"
        )


def _entered_by(home: Homeserver, room: Room) -> str | None:
    """The event by which the server came in, or came back."""
    span = home.tables.servers[room.room_id][home.name][-1]
    places = home.tables.timeline[room.room_id]
    return next((place.event_id for place in places if place.order_pos == span.from_pos), None)


def _ancestors(pdus: dict[str, dict[str, object]], event_ids: list[str], room: Room) -> set[str]:
    by_id = ROOM_VERSIONS[room.version].event_id_is_hash
    found: set[str] = set()
    pending = list(event_ids)
    while pending:
        one = pending.pop()
        if one in pdus and one not in found:
            found.add(one)
            cited = pdus[one]["prev_events"]
            assert isinstance(cited, list)
            pending += cited if by_id else [reference[0] for reference in cited]
    return found
