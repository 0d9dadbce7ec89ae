"""Invitations of users of other servers, which their servers sign before the event enters the room.

Spec: server-server API, #inviting-to-a-room.
"""

from typing import Any, Final
from urllib.parse import quote

import orjson

from hs_common.federation.interfaces import Remote
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix.errors import MatrixError, unknown
from hs_common.matrix.identifiers import domain_of, is_user_id
from hs_common.matrix.received_pdu import read_pdu, with_signatures
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import signatures_of
from hs_common.matrix.stripped_state import stripped_state_keys
from hs_common.replication.calls import Intent
from hs_common.storage import room_state
from hs_common.storage.queries import Queries

FIRST_VERSIONS: Final = ("1", "2")
"""Rooms of which a server may only know the first version of the interface."""


class RemoteInvites:
    """Asks for signatures. `server_name` is this server's."""

    def __init__(self, db: Queries, remote: Remote, checks: SignatureChecks, server_name: str) -> None:
        self._db = db
        self._remote = remote
        self._checks = checks
        self._server_name = server_name

    def is_remote(self, intent: Intent) -> bool:
        """Whether the event invites a user of another server."""
        if intent.type != "m.room.member" or intent.content.get("membership") != "invite":
            return False
        return is_user_id(intent.state_key) and domain_of(intent.state_key) != self._server_name

    async def signed(self, intent: Intent, encoded: bytes, version: str) -> bytes:
        """The event with the signature of the invited user's server. Raises MatrixError: that server's too."""
        server = domain_of(str(intent.state_key))
        event = read_pdu(orjson.loads(encoded), ROOM_VERSIONS[version])
        answer = await self._ask(server, intent, dict(event.event.pdu), event.event_id, version)
        given = answer.get("event") if isinstance(answer, dict) else None
        signatures = given.get("signatures") if isinstance(given, dict) else None
        added = signatures_of(signatures, server)
        texts = {key_id: text for key_id, text in added.items() if isinstance(text, str)}
        signed = with_signatures(event, {server: texts})
        if not texts or await self._checks.is_signed_by(signed, server) is not None:
            raise unknown(f"{server} has not signed the invite", 502)
        return signed.encoded

    async def _ask(self, server: str, intent: Intent, pdu: dict[str, Any], event_id: str, version: str) -> Any:
        shown = await self._room_state(intent)
        place = f"{quote(intent.room_id, safe='')}/{quote(event_id, safe='')}"
        body = {"room_version": version, "event": pdu, "invite_room_state": shown}
        try:
            return await self._remote.put(server, f"/_matrix/federation/v2/invite/{place}", body)
        except MatrixError as error:
            if error.status not in (400, 404) or version not in FIRST_VERSIONS:
                raise _for_client(error) from error
        body = {**pdu, "unsigned": {"invite_room_state": shown}}
        try:
            answer = await self._remote.put(server, f"/_matrix/federation/v1/invite/{place}", body)
        except MatrixError as error:
            raise _for_client(error) from error
        return answer[1] if isinstance(answer, list) and len(answer) == 2 else answer

    async def _room_state(self, intent: Intent) -> list[Any]:
        """What tells the invited user's server of the room, as full PDUs."""
        rows = await room_state.entries(self._db, intent.room_id, stripped_state_keys(intent.sender), room_state.NOW)
        return [orjson.loads(json) for _, _, _, json in rows]


def _for_client(error: MatrixError) -> MatrixError:
    """What was wrong between the servers is not the client's fault."""
    if error.errcode in ("M_MISSING_PARAM", "M_INVALID_PARAM", "M_BAD_JSON", "M_NOT_JSON", "M_UNRECOGNIZED"):
        return unknown(f"The invited user's server refused the invite: {error.error}", 502)
    return error
