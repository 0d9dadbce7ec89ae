"""Invitations of third-party identifiers that have found their user: exchanged for invites of user ids.

An identity server tells us of a user of ours whose address was invited; whoever invited it is asked to invite the user.
And other servers ask us the same for theirs. What proves the binding is judged by the authorisation rules. They do
not tell whether the key that proves it was withdrawn since: the server of whoever invited has to ask that.

Spec: server-server API, #third-party-invites.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from twisted.logger import Logger

from hs_common.federation.interfaces import Remote
from hs_common.federation.sending import Sending
from hs_common.matrix import canonical_json
from hs_common.matrix.auth.third_party_invite_rules import is_signed
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, invalid_param, not_found
from hs_common.matrix.event import Event
from hs_common.matrix.identifiers import domain_of, is_room_id, is_user_id
from hs_common.reading.room_power import read_state
from hs_common.replication.calls import Intent
from hs_common.storage.queries import Queries
from hs_common.storage.users import accounts
from hs_workers.federation_inbound.room_admission import RoomAdmission

INVITES_LIMIT: Final = 20
"""Of one binding; each may be a request to another server."""
KEYS_LIMIT: Final = 10
"""Of one invitation, each of which may have to be asked for."""

Json = dict[str, Any]

_log = Logger()


class ThirdPartyInvites:
    """`server_name` is this server's, `is_valid(url, key)` asks an identity server about a key of its."""

    def __init__(
        self,
        db: Queries,
        sending: Sending,
        remote: Remote,
        admission: RoomAdmission,
        server_name: str,
        is_valid: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        self._db = db
        self._sending = sending
        self._remote = remote
        self._admission = admission
        self._server_name = server_name
        self._is_valid = is_valid

    async def exchange(self, origin: str, room_id: str, body: Json) -> None:
        """Another server's user was invited by an address: invite the user. 400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN`,
        404 `M_NOT_FOUND`."""
        await self._admission.room(room_id, origin)
        content, sender, user_id = body.get("content"), body.get("sender"), body.get("state_key")
        if body.get("type") != "m.room.member" or body.get("room_id") != room_id or not isinstance(content, dict):
            raise invalid_param("The event must be an m.room.member of the room in the path")
        if content.get("membership") != "invite" or not isinstance(content.get("third_party_invite"), dict):
            raise invalid_param("The event must be an invite with `third_party_invite`")
        if not is_user_id(user_id) or domain_of(user_id) != origin:
            raise forbidden(f"{origin} can ask for its own users only")
        if not is_user_id(sender) or domain_of(sender) != self._server_name:
            raise invalid_param("The invite must be by a user of this server")
        canonical_json.check(content, refuse_nul=True)
        await self._invite(room_id, sender, user_id, content["third_party_invite"].get("signed"))

    async def bound(self, user_id: object, invites: Sequence[Any]) -> None:
        """An address was bound to a user of ours, who was invited by it. 400 `M_INVALID_PARAM`, 404 `M_NOT_FOUND`."""
        if not is_user_id(user_id) or domain_of(user_id) != self._server_name:
            raise invalid_param("`mxid` must be a user of this server")
        if user_id not in await accounts(self._db, [user_id]):
            raise not_found(f"There is no user {user_id}")
        if len(invites) > INVITES_LIMIT:
            raise invalid_param(f"At most {INVITES_LIMIT} invites can be told of at once")
        for invite in invites:
            try:
                await self._take(user_id, invite)
            except MatrixError as error:
                _log.info("an invite of {user} by an address fails: {error}", user=user_id, error=error)

    async def _take(self, user_id: str, invite: Any) -> None:
        room_id, sender, signed = (invite.get(key) if isinstance(invite, dict) else None for key in _INVITE_KEYS)
        if not is_room_id(room_id) or not is_user_id(sender) or not isinstance(signed, dict):
            raise bad_json("An invite needs `room_id`, `sender` and `signed`")
        canonical_json.check(signed, refuse_nul=True)
        if domain_of(sender) == self._server_name:
            await self._invite(room_id, sender, user_id, signed)
            return
        invitation = await self._invitation(room_id, signed)
        shown = "" if invitation is None else _display_name(invitation.content)
        event = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": sender,
            "state_key": user_id,
            "content": {"membership": "invite", "third_party_invite": {"display_name": shown, "signed": signed}},
        }
        path = f"/_matrix/federation/v1/exchange_third_party_invite/{quote(room_id, safe='')}"
        await self._remote.put(domain_of(sender), path, event)

    async def _invite(self, room_id: str, sender: str, user_id: str, signed: object) -> None:
        invitation = await self._invitation(room_id, signed)
        if not isinstance(signed, dict) or invitation is None or invitation.sender != sender:
            raise forbidden("There is no such invitation to this room")
        if signed.get("mxid") != user_id:  # before an identity server is asked
            raise forbidden(f"The invitation was not bound to {user_id}")
        await self._check_keys(signed, invitation.content)
        third_party_invite = {"display_name": _display_name(invitation.content), "signed": signed}
        content = {"membership": "invite", "third_party_invite": third_party_invite}
        intent = Intent(room_id=room_id, sender=sender, type="m.room.member", state_key=user_id, content=content)
        await self._sending.send(intent)

    async def _invitation(self, room_id: str, signed: object) -> Event | None:
        """The invitation of the address, if the room is known here."""
        key = ("m.room.third_party_invite", str(signed.get("token", "")) if isinstance(signed, dict) else "")
        return (await read_state(self._db, room_id, [key]) or {}).get(key)

    async def _check_keys(self, signed: Json, invitation: Mapping[str, Any]) -> None:
        """403 unless a key that signed is still valid, 502 if nobody says so."""
        for public_key, url in islice(_keys(invitation), KEYS_LIMIT):
            if is_signed(signed, {"public_key": public_key}) and (url is None or await self._is_valid(url, public_key)):
                return
        raise forbidden("No key of the invitation that is valid has signed this")


def _keys(invitation: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """The invitation's keys, each once, and where to ask whether it is valid: without a URL it is for good."""
    listed = invitation.get("public_keys")
    entries = [invitation, *(listed if isinstance(listed, list) else [])]
    found: set[tuple[str, str | None]] = set()
    for entry in entries:
        public_key, url = (entry.get(name) if isinstance(entry, Mapping) else None for name in _KEY)
        if isinstance(public_key, str):
            key = (public_key, url if isinstance(url, str) else None)
            if key not in found:
                found.add(key)
                yield key


def _display_name(invitation: Mapping[str, Any]) -> str:
    name = invitation.get("display_name")
    return name if isinstance(name, str) else ""


_KEY: Final = ("public_key", "key_validity_url")
_INVITE_KEYS: Final = ("room_id", "sender", "signed")
