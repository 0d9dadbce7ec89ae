"""Knocks, departures and rejected invites of this server's users in rooms that it is not in.

A knock needs another server. Leaving does not: a user is free also when nobody can be told.

Spec: server-server API, #knocking-rooms, #leaving-rooms-rejecting-invites.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson
from twisted.logger import Logger

from hs_common.federation.fetching import Fetching
from hs_common.federation.interfaces import Remote
from hs_common.federation.joining import FINAL, SERVERS_TRIED
from hs_common.federation.templates import Templates
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.matrix.stripped_state import MAX_RECEIVED, stripped
from hs_common.replication.federation_calls import Pdu, SetOutOfBandMembership
from hs_common.replication.link_interface import Link

LEAVE_SERVERS: Final = 3
"""Tried for a departure, which counts here whether or not one of them takes it."""

_log = Logger()


class RemoteMemberships:
    """Changes memberships through other servers."""

    def __init__(self, master: Link, remote: Remote, templates: Templates, fetching: Fetching) -> None:
        self._master = master
        self._remote = remote
        self._templates = templates
        self._fetching = fetching

    async def knock(self, room_id: str, user_id: str, content: Mapping[str, Any], servers: Iterable[str]) -> None:
        """Knock through one of the servers. Raises MatrixError: what the last of them had against it."""
        failure: MatrixError = not_found("No server is known through which one could knock on this room")
        for server in [*dict.fromkeys(servers)][:SERVERS_TRIED]:
            try:
                template = await self._templates.ask(server, room_id, user_id, "knock", None)
                event = self._templates.signed(template, user_id, content)
                answer = await self._remote.put(server, _path("v1", "send_knock", event), event.event.pdu)
            except MatrixError as error:
                failure = error
                if error.errcode in FINAL:
                    break
                continue
            shown = answer.get("knock_room_state") if isinstance(answer, dict) else None
            events = await self._fetching.checked(
                shown[:MAX_RECEIVED] if isinstance(shown, list) else [], template.room
            )
            entries = [stripped(one.event) for one in events if one.event.is_state]
            await self._set(event, "knock", [*entries, stripped(event.event)])
            return
        raise failure

    async def leave(
        self, room_id: str, user_id: str, version: str, content: Mapping[str, Any], servers: Sequence[str]
    ) -> None:
        """Leave: reject an invite, take a knock back. Where no server can be told it is only known here."""
        for server in [*dict.fromkeys(servers)][:LEAVE_SERVERS]:
            try:
                template = await self._templates.ask(server, room_id, user_id, "leave", version)
                event = self._templates.signed(template, user_id, content)
                await self._send_leave(server, event)
            except MatrixError as error:
                _log.info("{room} cannot be left through {server}: {error}", room=room_id, server=server, error=error)
                continue
            await self._set(event, "leave", None)
            return
        call = SetOutOfBandMembership(
            room_id=room_id, room_version=version, user_id=user_id, membership="leave", event=None, sender=user_id
        )
        await self._master.call(call)

    async def _send_leave(self, server: str, event: ReceivedPdu) -> None:
        try:
            await self._remote.put(server, _path("v2", "send_leave", event), event.event.pdu)
        except MatrixError as error:
            if error.status not in (400, 404):
                raise
            await self._remote.put(server, _path("v1", "send_leave", event), event.event.pdu)

    async def _set(self, event: ReceivedPdu, membership: str, shown: list[dict[str, Any]] | None) -> None:
        call = SetOutOfBandMembership(
            room_id=event.event.room_id,
            room_version=event.event.room_version.identifier,
            user_id=event.event.sender,
            membership="knock" if membership == "knock" else "leave",
            event=Pdu(event_id=event.event_id, pdu=event.encoded),
            sender=event.event.sender,
            stripped_state=None if shown is None else orjson.dumps(shown),
        )
        await self._master.call(call)


def _path(version: str, name: str, event: ReceivedPdu) -> str:
    place = f"{quote(event.event.room_id, safe='')}/{quote(event.event_id, safe='')}"
    return f"/_matrix/federation/{version}/{name}/{place}"
