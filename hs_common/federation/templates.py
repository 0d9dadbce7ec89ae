"""Events of this server's users in rooms that it is not in: made from another server's template, signed here.

Of a template only the references and the depth are taken; what it says is composed here.

Spec: server-server API, #joining-rooms, #knocking-rooms, #leaving-rooms-rejecting-invites.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hs_common.federation.fetching import Room
from hs_common.federation.interfaces import Remote
from hs_common.matrix.errors import MatrixError, incompatible_room_version, unknown
from hs_common.matrix.identifiers import is_user_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey

AUTHORISED_VIA: Final = "join_authorised_via_users_server"
EVENT_ID_BYTES: Final = 18

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """What another server gave. `authorised_via`: who of its users lets the joining user in."""

    room: Room
    server: str
    references: Json
    authorised_via: str | None


class Templates:
    """Asks for templates and signs events. `random(n)` gives n unpredictable bytes, `now_ms` is the time of day."""

    def __init__(
        self,
        remote: Remote,
        server_name: str,
        key: SigningKey,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._remote = remote
        self._server_name = server_name
        self._key = key
        self._now_ms = now_ms
        self._random = random

    async def ask(self, server: str, room_id: str, user_id: str, membership: str, version: str | None) -> Template:
        """The template of one server. `version`: that of the room if it is known. Raises MatrixError."""
        path = f"/_matrix/federation/v1/make_{membership}/{quote(room_id, safe='')}/{quote(user_id, safe='')}"
        query = {} if membership == "leave" else {"ver": list(ROOM_VERSIONS)}
        answer = await self._remote.get(server, path, query)
        event = answer.get("event") if isinstance(answer, dict) else None
        named = answer.get("room_version") if isinstance(answer, dict) else None
        # Servers of before there were versions name none.
        told = version or named or "1"
        if told not in ROOM_VERSIONS or (version and named not in (None, version)):
            raise incompatible_room_version(str(told)[:64])
        if not isinstance(event, dict) or not _is_of(event, room_id, user_id, membership):
            raise unknown(f"{server} gave a template for something else", 502)
        references = {name: event[name] for name in ("prev_events", "auth_events", "depth") if name in event}
        via = event["content"].get(AUTHORISED_VIA) if membership == "join" else None
        return Template(Room(room_id, ROOM_VERSIONS[told]), server, references, via if is_user_id(via) else None)

    def signed(self, template: Template, user_id: str, content: Mapping[str, Any]) -> ReceivedPdu:
        """The event. Raises MatrixError if the template is of no use."""
        version = template.room.version
        via = {} if template.authorised_via is None else {AUTHORISED_VIA: template.authorised_via}
        pdu: Json = {
            **template.references,
            "type": "m.room.member",
            "room_id": template.room.room_id,
            "sender": user_id,
            "state_key": user_id,
            "content": {**content, **via},
            "origin": self._server_name,
            "origin_server_ts": self._now_ms(),
        }
        if not version.event_id_is_hash:
            unique = base64.urlsafe_b64encode(self._random(EVENT_ID_BYTES)).decode()
            pdu["event_id"] = f"${unique}:{self._server_name}"
        try:
            sealed = seal(pdu, version, self._server_name, self._key)
            return read_pdu_of(sealed.pdu, version, template.room.room_id)
        except (MatrixError, TypeError, ValueError) as error:
            raise unknown(f"{template.server} gave a template that makes no event: {error}", 502) from error


def _is_of(event: Json, room_id: str, user_id: str, membership: str) -> bool:
    content = event.get("content")
    return (
        event.get("type") == "m.room.member"
        and event.get("room_id") == room_id
        and event.get("sender") == user_id
        and event.get("state_key") == user_id
        and isinstance(content, dict)
        and content.get("membership") == membership
    )
