"""Making rooms: from the wishes of `POST /createRoom` to one call to the master, all or nothing.

Spec: client-server API, #creation.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.federation.invitees import Invitees
from hs_common.federation.sending import Sending
from hs_common.matrix.errors import (
    MatrixError,
    bad_json,
    invalid_param,
    unsupported_room_version,
)
from hs_common.matrix.identifiers import domain_of, parse_room_alias
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.replication.calls import CreateRoom, Intent, NewRoomEvent, RoomCreated
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.client.room.event_content import check_content, check_type
from hs_workers.client.room.profiles import member_profiles
from hs_workers.client.room.room_ids import RoomIds
from hs_workers.client.room.room_presets import PRESETS, PRIVATE, PUBLIC, NewRoom, create_content, state_events
from hs_workers.client.room.third_party_inviting import Address, ThirdPartyInviting

MAXIMUM_INVITES: Final = 100
MAXIMUM_INITIAL_STATE: Final = 150
"""All events of a new room are one item of work for the master; more can follow when the room is there."""
INVITED_AT_ONCE: Final = 10
"""Users of other servers whose servers are asked at the same time."""
NOT_INITIAL: Final = ("m.room.create", "m.room.member")
"""State that a new room gets by other parameters only."""

_log = Logger()


class StateEvent(msgspec.Struct):
    """An entry of `initial_state`."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class Wishes(msgspec.Struct):
    """The body of `POST /createRoom`."""

    visibility: str | None = None
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[str] | None = None
    invite_3pid: list[Address] | None = None
    room_version: str | None = None
    creation_content: dict[str, Any] | None = None
    initial_state: list[StateEvent] | None = None
    preset: str | None = None
    is_direct: bool | None = None
    power_level_content_override: dict[str, Any] | None = None


class Creating:
    """Makes rooms."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        sending: Sending,
        invitees: Invitees,
        by_address: ThirdPartyInviting,
        server_name: str,
        default_version: str,
        room_ids: RoomIds,
    ) -> None:
        self._db = db
        self._master = master
        self._sending = sending
        self._invitees = invitees
        self._by_address = by_address
        self._server_name = server_name
        self._default_version = default_version
        self._room_ids = room_ids

    async def create(self, creator: str, wishes: Wishes, key: bytes | None = None) -> str:
        """The new room's id. Under one `key` one room is made.

        400 `M_BAD_JSON`, `M_INVALID_PARAM`, `M_UNSUPPORTED_ROOM_VERSION`, `M_ROOM_IN_USE`, `M_INVALID_ROOM_STATE`;
        403 `M_INVITE_BLOCKED`; 404 `M_NOT_FOUND` for invited users who do not exist.
        """
        room = await self._new_room(creator, wishes)
        events = state_events(room)
        call = CreateRoom(
            sender=creator,
            room_version=room.version.identifier,
            room_id=None if room.version.room_id_is_create_hash else self._room_ids.new(),
            create_content=create_content(room),
            events=[event for event in events if not self._is_remote_invite(event)],
            alias=room.alias,
            is_public=wishes.visibility == "public",
        )
        try:
            answer = await self._master.call(call, key)
        except MatrixError as error:
            if error.errcode == "M_FORBIDDEN":
                # The rules refuse one of the events that the wishes amount to.
                raise MatrixError(400, "M_INVALID_ROOM_STATE", error.error) from error
            raise
        assert isinstance(answer, RoomCreated)
        await self._invite_remote(answer.room_id, creator, [event for event in events if self._is_remote_invite(event)])
        for address in wishes.invite_3pid or []:
            await self._invite_address(answer.room_id, creator, address)
        return answer.room_id

    def _is_remote_invite(self, event: NewRoomEvent) -> bool:
        is_member = event.type == "m.room.member" and event.content.get("membership") == "invite"
        return is_member and domain_of(event.state_key) != self._server_name

    async def _invite_remote(self, room_id: str, creator: str, invites: Sequence[NewRoomEvent]) -> None:
        """Once the room is there their servers sign the invites. One that does not undoes nothing."""
        for one in range(0, len(invites), INVITED_AT_ONCE):
            asked = [
                Deferred.fromCoroutine(self._invite(room_id, creator, event))
                for event in invites[one : one + INVITED_AT_ONCE]
            ]
            await gatherResults(asked)

    async def _invite(self, room_id: str, creator: str, event: NewRoomEvent) -> None:
        intent = Intent(
            room_id=room_id, sender=creator, type=event.type, state_key=event.state_key, content=event.content
        )
        try:
            await self._sending.send(intent)
        except MatrixError as error:
            _log.info("{user} is not invited into the new room: {error}", user=event.state_key, error=error)

    async def _invite_address(self, room_id: str, creator: str, address: Address) -> None:
        try:
            await self._by_address.invite(room_id, creator, address)
        except MatrixError as error:
            _log.info("somebody is not invited into the new room: {error}", error=error)

    async def _new_room(self, creator: str, wishes: Wishes) -> NewRoom:
        version = ROOM_VERSIONS.get(wishes.room_version or self._default_version)
        if version is None:
            raise unsupported_room_version(str(wishes.room_version)[:64])
        for address in wishes.invite_3pid or []:
            self._by_address.check(address)
        invite = list(dict.fromkeys(wishes.invite or []))
        if len(invite) + len(wishes.invite_3pid or []) > MAXIMUM_INVITES:
            raise invalid_param(f"At most {MAXIMUM_INVITES} users can be invited at once; invite the others afterwards")
        if creator in invite:
            raise invalid_param("You cannot invite yourself")
        await self._invitees.check(invite)
        for text in (wishes.name, wishes.topic):
            check_content({"text": text})
        for content in (wishes.creation_content, wishes.power_level_content_override):
            check_content(content or {})
        return NewRoom(
            creator=creator,
            version=version,
            preset=_preset(wishes),
            profiles=await member_profiles(self._db, [creator, *invite]),
            creation_content=wishes.creation_content or {},
            alias=self._alias(wishes.room_alias_name),
            name=wishes.name,
            topic=wishes.topic,
            invite=invite,
            is_direct=wishes.is_direct is True,
            initial_state=_initial_state(wishes.initial_state or []),
            power_level_override=wishes.power_level_content_override or {},
        )

    def _alias(self, localpart: str | None) -> str | None:
        if localpart is None:
            return None
        alias = f"#{localpart}:{self._server_name}"
        if not localpart or parse_room_alias(alias) != (localpart, self._server_name):
            raise invalid_param("`room_alias_name` is not the localpart of a room alias")
        return alias


def _preset(wishes: Wishes) -> str:
    if wishes.visibility not in (None, "public", "private"):
        raise bad_json("`visibility` must be `public` or `private`")
    if wishes.preset is None:
        return PUBLIC if wishes.visibility == "public" else PRIVATE
    if wishes.preset not in PRESETS:
        raise bad_json(f"`preset` must be one of {', '.join(PRESETS)}")
    return wishes.preset


def _initial_state(events: list[StateEvent]) -> list[NewRoomEvent]:
    if len(events) > MAXIMUM_INITIAL_STATE:
        raise bad_json(f"`initial_state` has at most {MAXIMUM_INITIAL_STATE} events")
    for event in events:
        check_type(event.type)
        check_type(event.state_key)
        check_content(event.content)
        if event.type in NOT_INITIAL:
            raise MatrixError(400, "M_INVALID_ROOM_STATE", f"`initial_state` cannot hold {event.type}")
    return [NewRoomEvent(type=event.type, state_key=event.state_key, content=event.content) for event in events]
