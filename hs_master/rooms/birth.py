"""Station: a room begins, with its create event. In version 12 its id is known only when that is hashed.

Spec: client-server-api/_index.md#creation, rooms/v12.md#room-ids.
"""

from typing import Any, Final, NamedTuple

from hs_common.matrix.errors import unsupported_room_version
from hs_common.matrix.event import Event
from hs_common.matrix.identifiers import is_short
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.calls import Intent
from hs_master import tables
from hs_master.rooms.append import Source, append
from hs_master.rooms.compose import Composer
from hs_master.rooms.head import RoomHead
from hs_master.step import Step

MAX_ROOM_TYPE_BYTES: Final = 65_536
"""As long as an event can be: what is left out here is only what PostgreSQL does not store."""


class Birth(NamedTuple):
    """What a room begins with. `room_id` is given for versions whose room ids are no hashes."""

    sender: str
    version: RoomVersion
    room_id: str | None
    content: dict[str, Any]
    is_public: bool


def known_version(identifier: str) -> RoomVersion:
    """The version of that name. Raises MatrixError: M_UNSUPPORTED_ROOM_VERSION."""
    version = ROOM_VERSIONS.get(identifier)
    if version is None:
        raise unsupported_room_version(identifier)
    return version


def write_room(step: Step, create: Event, version: RoomVersion, *, is_public: bool) -> None:
    """The row of a room, at the position of its next item."""
    kind = create.content.get("type")
    room_type = kind if isinstance(kind, str) and is_short(kind, MAX_ROOM_TYPE_BYTES) else ""
    step.row(tables.ROOM, create.room_id, version.identifier, create.sender, step.next_pos(), is_public, room_type)


def make_room(step: Step, birth: Birth, composer: Composer, server_name: str) -> tuple[str, str]:
    """The new room's id and that of its create event. Raises MatrixError by the authorisation rules."""
    unborn = RoomHead(birth.room_id or "", birth.version, complete=True)
    intent = Intent(
        room_id=birth.room_id or "",
        sender=birth.sender,
        type="m.room.create",
        state_key="",
        content=birth.content,
    )
    composed = composer.compose(intent, unborn, step.now_ms)
    room_id = composed.event.room_id
    step.new_heads[room_id] = RoomHead(room_id, birth.version, complete=True)
    room = step.room(room_id)
    assert room is not None, "the head was put there just now"
    write_room(step, composed.event, birth.version, is_public=birth.is_public)
    append(step, room, composed.event, composed.encoded, server_name, Source())
    return room_id, composed.event.event_id
