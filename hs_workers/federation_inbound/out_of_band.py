"""Events of rooms that this server is not in, as far as they concern its users: an invite taken back, a knock refused.

Such an event counts if it cites the invite or knock that it ends among its auth events, as every honest one does, and
is allowed by them; the rest of the room is not known here. All others are dropped.

Spec: server-server API, #leaving-rooms-rejecting-invites; client-server API, #room-membership.
"""

from typing import Any, Literal, cast

from twisted.logger import Logger

from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix.auth_rules import CREATE_KEY, AuthError, authorise, state_of
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_room_id, is_user_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.federation_calls import Pdu, SetOutOfBandMembership
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries

NOT_HERE = "This server is not in the room"

_log = Logger()


class OutOfBandMemberships:
    """Ends invites and knocks. `server_name` is this server's."""

    def __init__(
        self, db: Queries, master: Link, checks: SignatureChecks, fetching: Fetching, server_name: str
    ) -> None:
        self._db = db
        self._master = master
        self._checks = checks
        self._fetching = fetching
        self._server_name = server_name

    async def apply(self, origin: str, pdu: dict[str, Any]) -> str | None:
        """Why the event is not for us, or None."""
        room_id, user_id = pdu.get("room_id"), pdu.get("state_key")
        if pdu.get("type") != "m.room.member" or not is_room_id(room_id) or not is_user_id(user_id):
            return NOT_HERE
        if domain_of(user_id) != self._server_name:
            return NOT_HERE
        standing = await federated_rooms.out_of_band(self._db, room_id, user_id)
        if standing is None:
            return NOT_HERE
        _, event_id, _ = standing
        version = await self._version(event_id, pdu)
        try:
            event = read_pdu_of(pdu, version, room_id)
        except MatrixError as error:
            return error.error
        if event.event.membership not in ("leave", "ban") or event_id not in event.event.auth_event_ids:
            return NOT_HERE
        failures = await self._checks.failures([event])
        if failures:
            return failures[event.event_id]
        if not await self._is_allowed(origin, Room(room_id, version), event):
            return "The event is not allowed by its auth events"
        await self._set(origin, version, event)
        return None

    async def _version(self, event_id: str, pdu: dict[str, Any]) -> RoomVersion:
        """The version of the room, as far as it can be told from the invite: its create event, or its ids."""
        found = await federated_rooms.room_version_told(self._db, str(pdu["room_id"]), str(pdu["state_key"]))
        if found is not None and found in ROOM_VERSIONS:
            return ROOM_VERSIONS[found]
        return ROOM_VERSIONS["1" if ":" in event_id else "10"]

    async def _is_allowed(self, origin: str, room: Room, event: ReceivedPdu) -> bool:
        try:
            chain = await self._fetching.auth_chain(origin, room, event.event_id)
        except MatrixError as error:
            _log.info(
                "{origin} does not tell why {event} is allowed: {error}",
                origin=origin,
                event=event.event_id,
                error=error,
            )
            chain = []
        cited = [one.event for one in chain if one.event_id in event.event.auth_event_ids and one.event.is_state]
        created = [one.event for one in chain if one.event.is_state and one.event.key == CREATE_KEY]
        if not created:
            # Told nothing, or not of the create event, which no event cites since version 12. Its sender has signed it
            # and knows of the invite. What it could do with a lie is to take an invite back.
            return domain_of(event.event.sender) == origin
        try:
            authorise(event.event, state_of([*cited, *created]))
        except AuthError:
            return False
        return True

    async def _set(self, origin: str, version: RoomVersion, event: ReceivedPdu) -> None:
        membership = event.event.membership
        call = SetOutOfBandMembership(
            room_id=event.event.room_id,
            room_version=version.identifier,
            user_id=str(event.event.state_key),
            membership=cast(Literal["leave", "ban"], membership),
            event=Pdu(event_id=event.event_id, pdu=event.encoded),
            sender=event.event.sender,
        )
        await self._master.call(call, options=CallOptions(lane="federation", origin=origin))
