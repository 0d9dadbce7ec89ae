"""Deciding on memberships of local users in rooms that this server is not in: invites and knocks, and their ends.

Spec: server-server-api.md#inviting-to-a-room, #knocking-upon-a-room, #leaving-rooms-rejecting-invites.
"""

from typing import Any, NamedTuple

from hs_common.matrix.errors import MatrixError, forbidden, unsupported_room_version
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.replication.calls import Answer
from hs_common.replication.federation_calls import SetOutOfBandMembership
from hs_common.replication.items import LocalMembership, MembershipItem
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.receiving import Preparing
from hs_master.step import Step


class _Loaded(NamedTuple):
    is_in_room: bool
    row: Any  # (membership, event_id, out_of_band, stripped_state) now


class SetOutOfBandMembershipDecider:
    """Decides `SetOutOfBandMembership`."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing

    def queue(self, call: SetOutOfBandMembership) -> str:
        return call.room_id

    async def load(self, call: SetOutOfBandMembership, db: Queries) -> _Loaded:
        await self._preparing.load_services()
        return _Loaded(
            await room_state.server_is_in_room(db, call.room_id, self._preparing.server_name),
            await room_forks.local_membership(db, call.room_id, call.user_id),
        )

    def decide(self, call: SetOutOfBandMembership, step: Step, loaded: _Loaded) -> Answer:
        if call.room_version not in ROOM_VERSIONS:
            raise unsupported_room_version(call.room_version)
        if loaded.is_in_room:
            raise MatrixError(409, "M_BAD_STATE", "This server is in the room: the event belongs into its timeline")
        event_id = "" if call.event is None else call.event.event_id
        if loaded.row is not None and loaded.row[0] == call.membership and loaded.row[1] == event_id:
            return Answer(pos=step.pos)
        self._check(call, None if loaded.row is None else loaded.row[0])
        shown = None if call.stripped_state is None else call.stripped_state.decode()
        membership = LocalMembership(call.user_id, call.membership, event_id, call.sender, shown, True)
        pos = step.next_pos()
        if call.event is not None:
            step.row(
                tables.EVENT_STORED, event_id, call.room_id, pos, room_forks.OUT_OF_BAND, None, None,
                call.event.pdu.decode(),
            )  # fmt: skip
            self._write_services(call, step, event_id, pos)
        values = (call.membership, event_id, call.sender, shown, True)
        step.interval(tables.MEMBERSHIP, (call.user_id, call.room_id), values, pos, existed=loaded.row is not None)
        return Answer(pos=step.item(MembershipItem(call.room_id, membership)))

    @staticmethod
    def _check(call: SetOutOfBandMembership, now: str | None) -> None:
        if call.membership in ("leave", "ban") and now not in ("invite", "knock"):
            raise forbidden("There is no invite or knock that this could end")
        if now == "ban" and call.membership in ("invite", "knock") and call.event is None:
            raise forbidden("The user is banned from the room")

    @staticmethod
    def _write_services(call: SetOutOfBandMembership, step: Step, event_id: str, pos: int) -> None:
        services = step.services
        interested = {*services.interested_in_user(call.user_id), *services.interested_in_room(call.room_id)}
        for service_id in sorted(interested):
            if services.is_listening(service_id):
                step.row(tables.SERVICE_EVENT, service_id, pos, event_id, step.now_ms)
