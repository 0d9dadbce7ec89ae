"""Invitations of this server's users into rooms elsewhere, which this server has to sign.

A room that this server is in already sends the invite again as any other event, so here it is only signed, unless the
invite itself says that the user is in the room.

Spec: server-server API, #inviting-to-a-room; client-server API, #stripped-state.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.invitees import Invitees
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix.errors import MatrixError, forbidden, incompatible_room_version, invalid_param
from hs_common.matrix.event import Event
from hs_common.matrix.hashes import content_hash_matches
from hs_common.matrix.identifiers import domain_of, is_user_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of, with_signatures
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.server_acl import denied
from hs_common.matrix.signing import SigningKey
from hs_common.matrix.stripped_state import MAX_RECEIVED, has_create_event, prune_received, stripped
from hs_common.replication.federation_calls import Pdu, SetOutOfBandMembership
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.room_admission import RoomAdmission

Json = dict[str, Any]


class Invitations:
    """Takes invitations. `key` is this server's."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        admission: RoomAdmission,
        invitees: Invitees,
        checks: SignatureChecks,
        fetching: Fetching,
        server_name: str,
        key: SigningKey,
    ) -> None:
        self._db = db
        self._master = master
        self._admission = admission
        self._invitees = invitees
        self._checks = checks
        self._fetching = fetching
        self._server_name = server_name
        self._key = key

    async def receive(
        self, origin: str, room_id: str, event_id: str, version: str, body: Json, room_state: object
    ) -> Json:
        """The event with our signature. 400 `M_INCOMPATIBLE_ROOM_VERSION`, `M_INVALID_PARAM`; 403 `M_FORBIDDEN`,
        `M_INVITE_BLOCKED`; 404 `M_NOT_FOUND`."""
        if version not in ROOM_VERSIONS:
            raise incompatible_room_version(version[:64])
        room = Room(room_id, ROOM_VERSIONS[version])
        self._admission.forget(room_id)  # whether we are in the room has to be true now, or the invite would be lost
        standing = (await self._admission.standings([room_id], origin))[room_id]
        if standing.joined and not standing.allows(origin):
            raise denied(origin)
        event = self._invite(body, room, event_id, origin)
        failures = await self._checks.failures([event])
        if failures:
            raise invalid_param(f"The event's signatures are not valid: {failures[event.event_id]}")
        user_id = str(event.event.state_key)
        await self._invitees.check([user_id])
        if standing.joined:
            await self._check_outside(room_id, user_id, event.event)
        signature = {self._key.key_id: self._key.sign_bytes(event.signed)}
        signed = with_signatures(event, {self._server_name: signature})
        if not standing.joined:
            await self._keep(origin, room, signed, await self._shown(room, room_state, signed.event))
        return {**body, "signatures": signed.event.pdu["signatures"]}

    async def _check_outside(self, room_id: str, user_id: str, invite: Event) -> None:
        """By the authorisation rules nobody is invited who is in the room, or banned. What counts is what the invite
        cites: it may be of after a kick that has not come yet."""
        cited = await federated_rooms.cited_memberships(self._db, room_id, user_id, invite.auth_event_ids)
        if not cited.isdisjoint(("join", "ban")):
            raise forbidden("The user is in the room already, or is banned from it")

    def _invite(self, body: Json, room: Room, event_id: str, origin: str) -> ReceivedPdu:
        given = body if room.version.event_id_is_hash else {"event_id": event_id, **body}
        try:
            event = read_pdu_of(given, room.version, room.room_id)
        except MatrixError as error:
            raise invalid_param(f"The event is not valid: {error.error}") from error
        if event.event_id != event_id:
            raise invalid_param("The event's id is not the one in the path")
        if not content_hash_matches({key: item for key, item in given.items() if key != "unsigned"}, room.version):
            raise invalid_param("The event's content hash does not fit")
        pdu = event.event
        if pdu.type != "m.room.member" or pdu.membership != "invite":
            raise invalid_param("The event must be an m.room.member with the membership invite")
        if domain_of(pdu.sender) != origin:
            raise invalid_param(f"The invite must be by a user of {origin}")
        if not is_user_id(pdu.state_key) or domain_of(pdu.state_key) != self._server_name:
            raise invalid_param("The invited user must be of this server")
        return event

    async def _shown(self, room: Room, room_state: object, invite: Event) -> list[Json]:
        """What the invited user is shown of the room: of rooms of older versions what there is, of others what is
        proved."""
        entries = room_state[:MAX_RECEIVED] if isinstance(room_state, list) else []
        if room.version.room_id_is_create_hash:
            shown = await self._proved(room, entries)
        else:
            shown = prune_received(entries)
        return [*shown, stripped(invite)]

    async def _proved(self, room: Room, entries: Sequence[Any]) -> list[Json]:
        events = await self._fetching.checked(entries, room)
        if len(events) < len(entries):
            raise invalid_param("`invite_room_state` must have events of the room, formatted and signed as such")
        shown = [stripped(event.event) for event in events if event.event.is_state]
        if not has_create_event(shown):
            raise invalid_param("`invite_room_state` must have the m.room.create event")
        return shown

    async def _keep(self, origin: str, room: Room, event: ReceivedPdu, shown: list[Json]) -> None:
        call = SetOutOfBandMembership(
            room_id=room.room_id,
            room_version=room.version.identifier,
            user_id=str(event.event.state_key),
            membership="invite",
            event=Pdu(event_id=event.event_id, pdu=event.encoded),
            sender=event.event.sender,
            stripped_state=orjson.dumps(shown),
        )
        try:
            await self._master.call(call, options=CallOptions(lane="federation", origin=origin))
        except MatrixError as error:
            if error.errcode != "M_BAD_STATE":  # we have entered the room meanwhile: the invite comes as an event
                raise
