"""Deciding on the upgrade of a room: a new room and the end of the old one, in one commit.

The tombstone names the new room, and the new room's create event the tombstone, as far as ids are known: where a room's
id is a hash the tombstone comes second, and is not named.

Spec: client-server-api/modules/room_upgrades.md#server-behaviour; the numbered steps are its.
"""

from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError, bad_json, not_found
from hs_common.replication.calls import Intent, NewRoomEvent, RoomUpgraded, UpgradeRoom
from hs_common.replication.items import AliasItem, DirectoryItem
from hs_master import tables
from hs_master.decisions.events import EventAppender, as_intent, needs_of
from hs_master.jobs.kinds import CarryOverJob, write_job
from hs_master.rooms import interest
from hs_master.rooms.birth import Birth, known_version, make_room
from hs_master.rooms.compose import Composer
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

# Events of both rooms: one item of the log's batch stays small.
MAXIMUM_EVENTS: Final = 300
MAXIMUM_ALIASES: Final = 1_000

_log = Logger()


class UpgradeRoomDecider:
    """Decides `UpgradeRoom`."""

    def __init__(self, composer: Composer, appender: EventAppender) -> None:
        self._composer = composer
        self._appender = appender

    def queue(self, call: UpgradeRoom) -> str:
        return call.old_room_id

    def rooms(self, call: UpgradeRoom) -> list[str]:
        return [call.old_room_id]

    def needs(self, call: UpgradeRoom, knowledge: Knowledge) -> list[Needs]:
        intents = [_tombstone(call, ""), *(_last(call, event) for event in call.last_events)]
        needs = (needs_of(intent, knowledge, self._appender.server_name) for intent in intents)
        return [need for need in needs if need is not None]

    def decide(self, call: UpgradeRoom, step: Step) -> RoomUpgraded:
        old = step.room(call.old_room_id)
        if old is None:
            raise not_found(f"This server does not know the room {call.old_room_id}")
        if len(call.events) + len(call.last_events) > MAXIMUM_EVENTS or len(call.aliases) > MAXIMUM_ALIASES:
            raise bad_json("The upgrade of a room cannot have so many events or aliases")
        if old.state_pos != call.state_pos:
            raise MatrixError(409, "M_CONFLICT", "The room's state has changed since it was read")
        room_id = self._make(call, step)
        # 4. Moves any local aliases to the new room.
        for alias in call.aliases:
            _move_alias(call.old_room_id, room_id, alias, step)
        if call.is_public:
            step.row(tables.ROOM_DIRECTORY, call.old_room_id, False)
            step.item(DirectoryItem(call.old_room_id, False))
            step.item(DirectoryItem(room_id, True))
        # 6. If possible, the power levels in the old room should also be modified.
        for event in call.last_events:
            self._append_last(call, event, step)
        if call.carry_on:
            write_job(step, call.sender, CarryOverJob(call.old_room_id, room_id))
        return RoomUpgraded(pos=step.pos, room_id=room_id)

    def _make(self, call: UpgradeRoom, step: Step) -> str:
        """The new room, and the old one's tombstone, of which the one comes first whose id the other needs."""
        predecessor: dict[str, Any] = {"room_id": call.old_room_id}
        # 1. and 5.: the rules tell whether the user has permission to send m.room.tombstone.
        if call.room_id is not None and call.tombstone is not None:
            predecessor["event_id"] = self._appender.append_intent(step, _tombstone(call, call.room_id))
        # 2. Creates a replacement room with a m.room.create event containing a predecessor field.
        content = {**call.create_content, "predecessor": predecessor}
        birth = Birth(call.sender, known_version(call.room_version), call.room_id, content, call.is_public)
        room_id, _ = make_room(step, birth, self._composer, self._appender.server_name)
        if call.room_id is None and call.tombstone is not None:
            self._appender.append_intent(step, _tombstone(call, room_id))
        # 3. Replicates transferable state events to the new room.
        for event in call.events:
            self._appender.append_intent(
                step, as_intent(room_id, call.sender, event.type, event.state_key, event.content)
            )
        return room_id

    def _append_last(self, call: UpgradeRoom, event: NewRoomEvent, step: Step) -> None:
        try:
            self._appender.append_intent(step, _last(call, event))
        except MatrixError as error:
            _log.info("the upgraded room {room} keeps its {type}: {error}", room=call.old_room_id, type=event.type,
                      error=error)  # fmt: skip


def _tombstone(call: UpgradeRoom, room_id: str) -> Intent:
    content = {**(call.tombstone or {}), "replacement_room": room_id}
    return as_intent(call.old_room_id, call.sender, "m.room.tombstone", "", content)


def _last(call: UpgradeRoom, event: NewRoomEvent) -> Intent:
    return as_intent(call.old_room_id, call.sender, event.type, event.state_key, event.content)


def _move_alias(old_room_id: str, room_id: str, alias: str, step: Step) -> None:
    """One that was removed or moved since the caller looked stays as it is; it may be told all the same, since only
    rows count."""
    pos = step.item(AliasItem(alias, room_id))
    interest.remove_alias(step, old_room_id, alias, pos)
    interest.add_alias(step, room_id, alias, pos)
    step.row(tables.ALIAS_MOVE, alias, old_room_id, room_id, pos)
