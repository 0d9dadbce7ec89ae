"""Station: which application services an event is for, once per event and service, whatever the number of ghosts.

A service is interested in a room while it has a cause: members in its namespace, an alias, the room's id. Causes are
counted with the room's head; a row of `as_room` begins with the first of a cause and ends with the last. An event is
also for the services of its sender and, of a membership, of its target: so the invite to the first ghost and the leave
of the last one are sent too.

Spec: application-service-api/#registration.
"""

from hs_common.matrix.event import Event
from hs_master import tables
from hs_master.rooms.head import Cause, RoomDraft
from hs_master.rooms.needs import MEMBERS, ROOM_ID
from hs_master.step import Step


def find_interested(step: Step, room: RoomDraft, event: Event, pos: int) -> list[str]:
    """The services that are sent the event at `pos`, asked before it changes the room. Writes their rows."""
    services = step.services
    if not services.anyone_listens:
        return []
    _settle(step, room, pos)
    interested = {service_id for service_id, _ in room.all_causes()}
    interested.update(services.interested_in_user(event.sender))
    if event.type == "m.room.member" and event.state_key is not None:
        interested.update(services.interested_in_user(event.state_key))
    elif event.type == "m.room.create" and event.state_key == "":
        interested.update(services.interested_in_room(room.room_id))
    found = sorted(service_id for service_id in interested if services.is_listening(service_id))
    for service_id in found:
        step.row(tables.SERVICE_EVENT, service_id, pos, event.event_id, step.now_ms)
    return found


def count_member(step: Step, room: RoomDraft, user_id: str, before: str | None, after: str | None, pos: int) -> None:
    """A membership changed: services that own the user may have gained or lost a cause."""
    difference = (after == "join") - (before == "join")
    if difference and step.services.anyone_listens:
        for service_id in step.services.interested_in_user(user_id):
            _count(step, room, (service_id, MEMBERS), difference, pos)


def count_room(step: Step, room: RoomDraft, pos: int) -> None:
    """The room was made: its id may be in a service's namespace."""
    if step.services.anyone_listens:
        for service_id in step.services.interested_in_room(room.room_id):
            _count(step, room, (service_id, ROOM_ID), 1, pos)


def add_alias(step: Step, room_id: str, alias: str, pos: int) -> None:
    """The room has an alias more."""
    _change_alias(step, room_id, alias, pos, 1)


def remove_alias(step: Step, room_id: str, alias: str, pos: int) -> None:
    """The room has an alias less."""
    _change_alias(step, room_id, alias, pos, -1)


def _change_alias(step: Step, room_id: str, alias: str, pos: int, difference: int) -> None:
    # The room is touched in any case: what is just being read of its aliases is out of date.
    room = step.room(room_id)
    for service_id in step.services.interested_in_alias(alias):
        cause = (service_id, alias)
        if room is not None and room.knows_interest:
            if difference < 0 and cause not in room.all_causes():
                continue  # it led elsewhere by now
            _count(step, room, cause, difference, pos)
        else:
            _write(step, room_id, cause, difference > 0, pos)


def _count(step: Step, room: RoomDraft, cause: Cause, difference: int, pos: int) -> None:
    count = room.count_cause(cause, difference)
    if count == 0 or count == difference:
        _write(step, room.room_id, cause, count > 0, pos)


def _settle(step: Step, room: RoomDraft, pos: int) -> None:
    """After services were registered or changed, rooms are brought up to date when something happens in them."""
    unsettled = room.unsettled_causes()
    if unsettled:
        for cause, is_open in unsettled.items():
            _write(step, room.room_id, cause, is_open, pos)
        room.settled = True


def _write(step: Step, room_id: str, cause: Cause, is_open: bool, pos: int) -> None:
    service_id, why = cause
    step.interval(tables.AS_ROOMS, (service_id, room_id, why), () if is_open else None, pos)
