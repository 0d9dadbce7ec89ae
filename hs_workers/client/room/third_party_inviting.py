"""Inviting whoever has a mail address or phone number: by the user id that an identity server knows for it, or by a
token that the identity server keeps until somebody proves that the address is his.

Rules: the inviter's right to invite is looked at before anybody's address is told to another server.

Spec: client-server API, #third-party-invites.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from hs_common.federation.sending import Sending
from hs_common.matrix.errors import MatrixError, forbidden, unknown
from hs_common.matrix.room_texts import text_of
from hs_common.reading.room_power import CREATE, POWER_LEVELS, State, levels_of, read_state
from hs_common.replication.calls import Intent
from hs_common.storage.queries import Queries
from hs_workers.client.room.memberships import MEMBER, Memberships
from hs_workers.client.room.profiles import member_profiles

INVITATION: Final = "m.room.third_party_invite"
MAXIMUM_KEYS: Final = 10
_TOKEN: Final = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")
_TOLD: Final = (
    ("m.room.canonical_alias", "alias", "room_alias"),
    ("m.room.avatar", "url", "room_avatar_url"),
    ("m.room.join_rules", "join_rule", "room_join_rules"),
    ("m.room.name", "name", "room_name"),
    ("m.room.create", "type", "room_type"),
)
"""What the identity server may put into the mail: (event type, key of its content, name)."""


class Address(msgspec.Struct):
    """Whom to invite, and which identity server to ask, with the user's token for it."""

    id_server: str
    id_access_token: str
    medium: str
    address: str


class IdentityServers(Protocol):
    """Identity servers, as far as invitations need them. Raise MatrixError."""

    def check_trusted(self, id_server: str) -> None:
        """400 `M_SERVER_NOT_TRUSTED`."""

    async def lookup(self, id_server: str, access_token: str, medium: str, address: str) -> str | None:
        """Whose the address is, if anybody has published it."""

    async def store_invite(self, id_server: str, access_token: str, invite: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps an invitation: `token`, `public_keys` and `display_name`."""


class ThirdPartyInviting:
    """Invites by address."""

    def __init__(
        self, db: Queries, sending: Sending, memberships: Memberships, identity_servers: IdentityServers | None
    ) -> None:
        self._db = db
        self._sending = sending
        self._memberships = memberships
        self._servers = identity_servers

    def check(self, address: Address) -> None:
        """400 `M_SERVER_NOT_TRUSTED` for an identity server that is not asked."""
        self._known().check_trusted(address.id_server)

    async def invite(self, room_id: str, sender: str, wanted: Address) -> None:
        """403 `M_FORBIDDEN`; 400 `M_SERVER_NOT_TRUSTED`; what the identity server or the room has against it."""
        servers = self._known()
        servers.check_trusted(wanted.id_server)
        state = await self._state(room_id, sender)
        found = await servers.lookup(wanted.id_server, wanted.id_access_token, wanted.medium, wanted.address)
        if found is not None:
            await self._memberships.invite(room_id, sender, found)
            return
        invite = {"medium": wanted.medium, "address": wanted.address, **await self._told(room_id, sender, state)}
        stored = await servers.store_invite(wanted.id_server, wanted.id_access_token, invite)
        token = stored["token"]
        if _TOKEN.fullmatch(token) is None:
            raise _unusable(wanted.id_server)
        content = _content(stored, wanted.id_server)
        intent = Intent(room_id=room_id, sender=sender, type=INVITATION, state_key=token, content=content)
        await self._sending.send(intent)

    def _known(self) -> IdentityServers:
        if self._servers is None:
            raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "This server uses no identity server; invite by user id")
        return self._servers

    async def _state(self, room_id: str, sender: str) -> State:
        keys = [(event_type, "") for event_type, _, _ in _TOLD]
        state = await read_state(self._db, room_id, [CREATE, POWER_LEVELS, (MEMBER, sender), *keys])
        member = None if state is None else state.get((MEMBER, sender))
        if state is None or member is None or member.membership != "join":
            raise forbidden("You are not in this room")
        levels = levels_of(state)
        if levels.user_level(sender) < levels.invite:
            raise forbidden("You may not invite into this room")
        return state

    async def _told(self, room_id: str, sender: str, state: State) -> dict[str, str]:
        profile = (await member_profiles(self._db, [sender]))[sender]
        told = {
            "room_id": room_id,
            "sender": sender,
            "sender_display_name": profile.get("displayname"),
            "sender_avatar_url": profile.get("avatar_url"),
            **{name: text_of(state[event_type, ""].content, key) for event_type, key, name in _TOLD
               if (event_type, "") in state},
        }  # fmt: skip
        return {name: value for name, value in told.items() if isinstance(value, str) and value}


def _content(stored: Mapping[str, Any], id_server: str) -> dict[str, Any]:
    """The content of the invitation, of which only what has its form is passed on to the room."""
    keys = [_key(key) for key in stored["public_keys"][:MAXIMUM_KEYS]]
    public_keys = [key for key in keys if key is not None]
    if not public_keys:
        raise _unusable(id_server)
    default_url = f"https://{id_server}/_matrix/identity/v2/pubkey/isvalid"
    display_name = stored.get("display_name")
    return {
        "display_name": display_name if isinstance(display_name, str) else "",
        "key_validity_url": public_keys[0].get("key_validity_url", default_url),
        "public_key": public_keys[0]["public_key"],
        "public_keys": public_keys,
    }


def _key(key: Any) -> dict[str, str] | None:
    if not isinstance(key, Mapping) or not isinstance(key.get("public_key"), str):
        return None
    url = key.get("key_validity_url")
    return {"public_key": key["public_key"], **({"key_validity_url": url} if isinstance(url, str) else {})}


def _unusable(id_server: str) -> MatrixError:
    return unknown(f"The identity server {id_server} did not answer as it should", 502)
