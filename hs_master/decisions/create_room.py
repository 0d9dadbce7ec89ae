"""Deciding on new rooms: the create event and the first state, in one commit, since in version 12 the room's id is
known only when the create event is hashed.

Spec: client-server-api/_index.md#creation, rooms/v12.md#room-ids.
"""

from typing import Final

from hs_common.matrix.errors import MatrixError, bad_json
from hs_common.replication.calls import CreateRoom, RoomCreated
from hs_common.replication.items import AliasItem, DirectoryItem
from hs_common.storage import room_directory
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.events import EventAppender, as_intent
from hs_master.rooms import interest
from hs_master.rooms.birth import Birth, known_version, make_room
from hs_master.rooms.compose import Composer
from hs_master.step import Step

# State events of a new room, invites included: one item of the log's batch stays small.
MAXIMUM_EVENTS: Final = 300


class CreateRoomDecider:
    """Decides `CreateRoom`. Serial by alias, so that two rooms cannot take one."""

    def __init__(self, composer: Composer, appender: EventAppender) -> None:
        self._composer = composer
        self._appender = appender

    def queue(self, call: CreateRoom) -> str:
        return f"alias {call.alias}" if call.alias is not None else f"new room of {call.sender}"

    async def load(self, call: CreateRoom, db: Queries) -> tuple[bool, bool]:
        """Whether the alias and the given room id are taken."""
        alias_taken = call.alias is not None and await room_directory.alias(db, call.alias) is not None
        room_taken = call.room_id is not None and await room_directory.is_published(db, call.room_id) is not None
        return alias_taken, room_taken

    def decide(self, call: CreateRoom, step: Step, loaded: tuple[bool, bool]) -> RoomCreated:
        alias_taken, room_taken = loaded
        if alias_taken:
            raise MatrixError(400, "M_ROOM_IN_USE", f"The alias {call.alias} is taken")
        if room_taken:
            raise MatrixError(400, "M_ROOM_IN_USE", f"The room id {call.room_id} is taken")
        if len(call.events) > MAXIMUM_EVENTS:
            raise bad_json(f"A new room can have at most {MAXIMUM_EVENTS} state events; invite the others afterwards")
        version = known_version(call.room_version)
        birth = Birth(call.sender, version, call.room_id, call.create_content, call.is_public)
        room_id, create_id = make_room(step, birth, self._composer, self._appender.server_name)
        event_ids = [create_id]
        for event in call.events:
            intent = as_intent(room_id, call.sender, event.type, event.state_key, event.content)
            event_ids.append(self._appender.append_intent(step, intent))
        self._list(call, room_id, step)
        return RoomCreated(pos=step.pos, room_id=room_id, event_ids=event_ids)

    def _list(self, call: CreateRoom, room_id: str, step: Step) -> None:
        if call.alias is not None:
            pos = step.item(AliasItem(call.alias, room_id))
            interest.add_alias(step, room_id, call.alias, pos)
            step.row(tables.ALIAS, call.alias, room_id, call.sender, pos)
        if call.is_public:
            step.item(DirectoryItem(room_id, True))
