"""Joins, knocks and departures of users of other servers through this one: a template first, then the signed event.

The template is authorised when it is made, and the event again when it comes: it may have been made without one.

Spec: server-server API, #joining-rooms, #restricted-rooms, #knocking-rooms, #leaving-rooms-rejecting-invites.
"""

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from hs_common.federation.completing import Completing
from hs_common.federation.fetching import Room
from hs_common.federation.policy_checks import PolicyChecks
from hs_common.federation.restricted_rooms import LOOKED_AT, RestrictedRooms
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix.errors import (
    MatrixError,
    forbidden,
    incompatible_room_version,
    invalid_param,
    not_found,
    unsupported_room_version,
)
from hs_common.matrix.event import StateKey
from hs_common.matrix.hashes import content_hash_matches
from hs_common.matrix.identifiers import domain_of, is_user_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of, with_signatures
from hs_common.matrix.signing import SigningKey
from hs_common.reading.room_power import read_state
from hs_common.replication.federation_calls import ComposeTemplate, Template
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import room_forks
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.room_admission import RoomAdmission

Membership = Literal["join", "leave", "knock"]
AUTHORISED_VIA = "join_authorised_via_users_server"
Json = dict[str, Any]


class Templates:
    """Makes what users of other servers sign."""

    def __init__(
        self, db: Queries, master: Link, admission: RoomAdmission, restricted: RestrictedRooms, server_name: str
    ) -> None:
        self._server_name = server_name
        self._db = db
        self._master = master
        self._admission = admission
        self._restricted = restricted

    async def make(
        self, origin: str, room_id: str, user_id: str, membership: Membership, versions: Sequence[str] | None
    ) -> Json:
        """The answer of make_*. `versions`: those that the other server knows; None: it does not say.

        403 `M_FORBIDDEN`, 404 `M_NOT_FOUND`, 400 `M_INCOMPATIBLE_ROOM_VERSION`, and as `RestrictedRooms`.
        """
        check_user_of(origin, user_id)
        room = await self._admission.room(room_id, origin)
        if versions is not None and room.version.identifier not in versions:
            raise incompatible_room_version(room.version.identifier)
        via = await self.authorising_user(room, user_id) if membership == "join" else None
        call = ComposeTemplate(room_id=room_id, user_id=user_id, membership=membership, authorised_via=via)
        answer = await self._master.call(call, options=CallOptions(lane="federation", origin=origin))
        assert isinstance(answer, Template), "a call is answered by what it names"
        # "The name of the resident homeserver", which the specification requires of templates.
        event = {**orjson.loads(answer.pdu), "origin": self._server_name}
        return {"room_version": answer.room_version, "event": event}

    async def authorising_user(self, room: Room, user_id: str) -> str | None:
        """Who lets a user into a restricted room, if that is needed."""
        member: StateKey = ("m.room.member", user_id)
        state = await read_state(self._db, room.room_id, [*LOOKED_AT, member])
        if state is None:
            raise not_found("This server is not in the room")
        if member in state and state[member].membership in ("join", "invite", "ban"):
            return None
        return await self._restricted.authorising_user(room.room_id, user_id, state)


class Handshakes:
    """Takes in what was signed. `key` is this server's."""

    def __init__(
        self,
        db: Queries,
        admission: RoomAdmission,
        templates: Templates,
        checks: SignatureChecks,
        policies: PolicyChecks,
        completing: Completing,
        server_name: str,
        key: SigningKey,
    ) -> None:
        self._db = db
        self._admission = admission
        self._templates = templates
        self._checks = checks
        self._policies = policies
        self._completing = completing
        self._server_name = server_name
        self._key = key

    async def receive(
        self, origin: str, room_id: str, event_id: str, body: Json, membership: Membership
    ) -> tuple[Room, ReceivedPdu]:
        """The event, which is in the room now. 400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN`, 404 `M_NOT_FOUND`."""
        room = await self._admission.room(room_id, origin)
        if membership == "knock" and not room.version.knocking:
            raise unsupported_room_version(room.version.identifier)
        event = member_event(body, room, event_id, origin, membership)
        failures = await self._checks.failures([event], without=(self._server_name,))
        if failures:
            raise invalid_param(f"The event's signatures are not valid: {failures[event.event_id]}")
        if membership == "join":
            event = await self._signed_join(room, event)
        (event,) = await self._policies.signed(room, [event])
        verdicts = await self._completing.take_in(room, [event], [origin], introduced=True)
        verdict = verdicts[event.event_id]
        if verdict.status == "missing":
            raise invalid_param("The event cites events that are not known here; ask for a new template")
        was_refused = verdict.status == "known" and await self._is_rejected(event_id)
        if verdict.status not in ("accepted", "known") or was_refused:
            raise forbidden(f"The room does not allow this: {verdict.reason or 'it was refused before'}")
        return room, event

    async def _signed_join(self, room: Room, event: ReceivedPdu) -> ReceivedPdu:
        """The join with our signature, which stands for the authorisation where one is needed."""
        via = event.event.content.get(AUTHORISED_VIA)
        if room.version.restricted_joins and via is not None:
            if not is_user_id(via) or domain_of(via) != self._server_name:
                raise invalid_param(f"`{AUTHORISED_VIA}` must be a user of this server")
            # 403, or 400 with what the joining server then does, where the conditions are not met (any more).
            await self._templates.authorising_user(room, event.event.sender)
        signature = {self._key.key_id: self._key.sign_bytes(event.signed)}
        return with_signatures(event, {self._server_name: signature})

    async def _is_rejected(self, event_id: str) -> bool:
        return (await room_forks.standings(self._db, [event_id])).get(event_id) == room_forks.REJECTED


def member_event(body: Json, room: Room, event_id: str, origin: str, membership: str) -> ReceivedPdu:
    """A change of the membership of its own sender, by a user of `origin`. Raises M_INVALID_PARAM."""
    given = body if room.version.event_id_is_hash else {"event_id": event_id, **body}
    try:
        event = read_pdu_of(given, room.version, room.room_id)
    except MatrixError as error:
        raise invalid_param(f"The event is not valid: {error.error}") from error
    if not content_hash_matches({key: item for key, item in given.items() if key != "unsigned"}, room.version):
        raise invalid_param("The event's content hash does not fit")
    if event.event_id != event_id:
        raise invalid_param("The event's id is not the one in the path")
    pdu = event.event
    if pdu.type != "m.room.member" or pdu.membership != membership:
        raise invalid_param(f"The event must be an m.room.member with the membership {membership}")
    if pdu.state_key != pdu.sender or domain_of(pdu.sender) != origin:
        raise invalid_param(f"The event must be a user's of {origin} about himself")
    return event


def check_user_of(origin: str, user_id: str) -> None:
    """403 `M_FORBIDDEN` unless the user is of the server that asks."""
    if not is_user_id(user_id) or domain_of(user_id) != origin:
        raise forbidden(f"{origin} can ask for its own users only")
