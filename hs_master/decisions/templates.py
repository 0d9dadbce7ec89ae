"""Deciding on what users of other servers sign to join, leave or knock: composed on the room's head, kept by nobody.

Spec: server-server-api.md#joining-rooms, #knocking-upon-a-room, #leaving-rooms-rejecting-invites.
"""

from typing import Any

import orjson

from hs_common.matrix.errors import not_found
from hs_common.replication.calls import Intent
from hs_common.replication.federation_calls import ComposeTemplate, Template
from hs_master.decisions.events import needs_of
from hs_master.rooms.compose import Composer
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step


class ComposeTemplateDecider:
    """Decides `ComposeTemplate`."""

    def __init__(self, composer: Composer, server_name: str) -> None:
        self._composer = composer
        self._server_name = server_name

    def queue(self, call: ComposeTemplate) -> str:
        return call.room_id

    def rooms(self, call: ComposeTemplate) -> list[str]:
        return [call.room_id]

    def needs(self, call: ComposeTemplate, knowledge: Knowledge) -> list[Needs]:
        need = needs_of(_intent(call), knowledge, self._server_name)
        return [] if need is None else [need]

    def decide(self, call: ComposeTemplate, step: Step) -> Template:
        room = step.room(call.room_id)
        if room is None or not room.server_joined(self._server_name):
            raise not_found(f"Nobody of this server is in the room {call.room_id}")
        pdu = self._composer.template(_intent(call), room, step.now_ms)
        return Template(pos=step.pos, room_version=room.version.identifier, pdu=orjson.dumps(pdu))


def _intent(call: ComposeTemplate) -> Intent:
    content: dict[str, Any] = {"membership": call.membership}
    if call.authorised_via is not None:
        content["join_authorised_via_users_server"] = call.authorised_via
    return Intent(
        room_id=call.room_id, sender=call.user_id, type="m.room.member", state_key=call.user_id, content=content
    )
