"""Changes of membership: who joins, invites, leaves, kicks, bans, unbans, knocks.

What may be is decided by the authorisation rules, at the master; here is what the rules do not say: profiles in member
events, guests, restricted rooms, blocked invites, and states from which a change makes no sense.

Spec: client-server API, #room-membership.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hs_common.federation.invitees import Invitees
from hs_common.federation.outside_rooms import OutsideRooms
from hs_common.federation.restricted_rooms import RestrictedRooms, is_for_another_server
from hs_common.federation.sending import Sending
from hs_common.http.request import Requester
from hs_common.matrix.auth.third_party_invite_rules import is_signed
from hs_common.matrix.errors import MatrixError, forbidden, not_found, unknown
from hs_common.matrix.identifiers import parse_user_id
from hs_common.reading.room_power import CREATE, State, read_state
from hs_common.replication.calls import Intent
from hs_common.storage.queries import Queries
from hs_workers.client.room.admission import STATE_LOOKED_AT, check_guest
from hs_workers.client.room.closed_rooms import ClosedRooms
from hs_workers.client.room.event_content import check_content
from hs_workers.client.room.newcomers import Newcomers
from hs_workers.client.room.profiles import member_profiles
from hs_workers.client.room.settling import Settling

MEMBER: Final = "m.room.member"
AUTHORISED_VIA: Final = "join_authorised_via_users_server"
JOIN_ATTEMPTS: Final = 3
"""A room that somebody else was just joining is here after that, unless that failed."""
MAY_YET_BE_LET_IN: Final = (400, 403, 404)
"""How a join is refused that may succeed in another way: by somebody who authorises it, or through another server."""
PRESENT: Final = ("join", "invite", "knock")
"""The memberships out of which a user can be kicked."""


class Memberships:
    """Changes memberships for this server's users."""

    def __init__(
        self,
        db: Queries,
        sending: Sending,
        invitees: Invitees,
        restricted: RestrictedRooms,
        settling: Settling,
        outside: OutsideRooms,
        closed: ClosedRooms,
        newcomers: Newcomers,
    ) -> None:
        self._db = db
        self._outside = outside
        self._sending = sending
        self._invitees = invitees
        self._restricted = restricted
        self._settling = settling
        self._closed = closed
        self._newcomers = newcomers

    async def join(
        self,
        room_id: str,
        requester: Requester,
        reason: str | None = None,
        third_party_signed: dict[str, Any] | None = None,
        via: Sequence[str] = (),
    ) -> None:
        """Nothing, if the user is in the room. `via`: servers through which it can be joined, if it is not known here.
        403 `M_FORBIDDEN` or `M_GUEST_ACCESS_FORBIDDEN`, 404 `M_NOT_FOUND`, or what another server has against it."""
        await self._closed.check(room_id)
        is_ghost = requester.app_service_id is not None and third_party_signed is None
        if is_ghost and await self._let_in(room_id, requester.user_id, reason):
            return
        for _ in range(JOIN_ATTEMPTS):
            if await self._join_once(room_id, requester, reason, third_party_signed, via):
                return
        raise unknown("Others are just joining this room, and it takes long; try again", 503)

    async def _let_in(self, room_id: str, user_id: str, reason: str | None) -> bool:
        """Whether a service's ghost is in the room now. They come by the thousand, most into rooms that let them in: so
        the master is asked at once, which knows room and profile. The room is looked at only for those whom it refuses:
        by the rules, or because it is of the version before and does not know such an intent."""
        intent = Intent(
            room_id=room_id,
            sender=user_id,
            type=MEMBER,
            state_key=user_id,
            content={"membership": "join", **_reason(reason)},
            joins_here=True,
            with_profile=True,
        )
        try:
            await self._sending.send(intent)
        except MatrixError as error:
            if error.status not in MAY_YET_BE_LET_IN:
                raise
            return False
        return True

    async def _join_once(
        self,
        room_id: str,
        requester: Requester,
        reason: str | None,
        third_party_signed: dict[str, Any] | None,
        via: Sequence[str],
    ) -> bool:
        """False if it has to be tried again, since somebody else was just joining the room."""
        user_id = requester.user_id
        newcomer = await self._newcomers.of(room_id, user_id)
        content = {"membership": "join", **newcomer.profile, **_reason(reason)}
        if not newcomer.is_here:
            if requester.is_guest:
                raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests cannot join rooms of other servers")
            joined = await self._outside.join(room_id, user_id, content, via)
        else:
            try:
                await self._join_here(room_id, requester, newcomer.state or {}, content, third_party_signed)
                return True
            except MatrixError as error:
                if not is_for_another_server(error):
                    raise
                joined = await self._outside.join_through_others(room_id, user_id, content, error)
        if joined:
            state = await self._state(room_id, user_id)
            await self._settle(requester, room_id, state)
        return joined

    async def _join_here(
        self,
        room_id: str,
        requester: Requester,
        state: State,
        content: dict[str, Any],
        third_party_signed: dict[str, Any] | None,
    ) -> None:
        user_id = requester.user_id
        membership = _membership(state, user_id)
        if membership == "join":
            return
        if third_party_signed is not None and membership != "invite":
            await self._redeem(room_id, user_id, third_party_signed)
            membership = "invite"
        admitted = await self._admitted(room_id, requester, membership, state)
        await self._send(room_id, user_id, user_id, {**content, **admitted})
        await self._settle(requester, room_id, state)

    async def invite(self, room_id: str, sender: str, user_id: str, reason: str | None = None) -> None:
        """400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN` or `M_INVITE_BLOCKED`, 404 `M_NOT_FOUND`."""
        await self._closed.check(room_id)
        await self._invitees.check([user_id])
        await self._send(
            room_id, sender, user_id, {"membership": "invite", **await self._profile(user_id), **_reason(reason)}
        )

    async def leave(self, room_id: str, user_id: str, reason: str | None = None) -> None:
        """Also rejects an invite and takes back a knock. 403 `M_FORBIDDEN`, 404 `M_NOT_FOUND`."""
        content = {"membership": "leave", **_reason(reason)}
        if not await self._outside.leave(room_id, user_id, content):
            await self._send(room_id, user_id, user_id, content)

    async def kick(self, room_id: str, sender: str, user_id: str, reason: str | None = None) -> None:
        """403 `M_FORBIDDEN`, also if the user is not in the room."""
        if await self._present_membership(room_id, sender, user_id) not in PRESENT:
            raise forbidden(f"{user_id} is not in the room")
        await self._send(room_id, sender, user_id, {"membership": "leave", **_reason(reason)})

    async def ban(self, room_id: str, sender: str, user_id: str, reason: str | None = None) -> None:
        """403 `M_FORBIDDEN`."""
        parse_user_id(user_id)
        await self._send(room_id, sender, user_id, {"membership": "ban", **_reason(reason)})

    async def unban(self, room_id: str, sender: str, user_id: str, reason: str | None = None) -> None:
        """403 `M_FORBIDDEN`, or `M_BAD_STATE` if the user is not banned."""
        if await self._present_membership(room_id, sender, user_id) != "ban":
            raise MatrixError(403, "M_BAD_STATE", f"{user_id} is not banned")
        await self._send(room_id, sender, user_id, {"membership": "leave", **_reason(reason)})

    async def knock(self, room_id: str, user_id: str, reason: str | None = None, via: Sequence[str] = ()) -> None:
        """403 `M_FORBIDDEN`, 404 `M_NOT_FOUND`, or what another server has against it."""
        await self._closed.check(room_id)
        content = {"membership": "knock", **await self._profile(user_id), **_reason(reason)}
        if await self._outside.is_here(room_id):
            await self._send(room_id, user_id, user_id, content)
        else:
            await self._outside.knock(room_id, user_id, content, via)

    async def put(
        self, room_id: str, requester: Requester, user_id: str, content: dict[str, Any], timestamp_ms: int | None = None
    ) -> str:
        """A member event as a client wrote it, completed as the other ways to change memberships would do."""
        membership, sender = content.get("membership"), requester.user_id
        if membership in PRESENT:
            await self._closed.check(room_id)
        if membership == "invite":
            await self._invitees.check([user_id])
        if membership == "invite" or (membership in ("join", "knock") and sender == user_id):
            content = {**await self._profile(user_id), **content}
        if membership == "join" and sender == user_id:
            # Who lets him in is found here, never taken from him: he may have been put out since his membership was
            # read, and his own word would bring him back.
            content = {name: value for name, value in content.items() if name != AUTHORISED_VIA}
            state = await self._state(room_id, user_id)
            before = _membership(state, user_id)
            if before != "join":
                content.update(await self._admitted(room_id, requester, before, state))
                event_id = await self._send(room_id, sender, user_id, content, timestamp_ms)
                await self._settle(requester, room_id, state)
                return event_id
        return await self._send(room_id, sender, user_id, content, timestamp_ms)

    async def _settle(self, requester: Requester, room_id: str, state: State) -> None:
        """Ghosts of application services have no settings that could follow them, and come by the thousand."""
        if requester.app_service_id is None:
            await self._settling.joined(requester.user_id, room_id, state[CREATE])

    async def _admitted(
        self, room_id: str, requester: Requester, membership: str | None, state: State
    ) -> Mapping[str, str]:
        """What a join's content needs so that the user is let in."""
        if requester.is_guest:
            check_guest(state)
        if membership == "ban":
            raise forbidden("You are banned from this room")
        if membership == "invite":
            return {}
        via = await self._restricted.authorising_user(room_id, requester.user_id, state)
        return {} if via is None else {AUTHORISED_VIA: via}

    async def _redeem(self, room_id: str, user_id: str, signed: dict[str, Any]) -> None:
        """Turn an invitation of a third-party identifier into one of the user. Spec: #third-party-invites."""
        check_content(signed)
        inviter, token = signed.get("sender"), signed.get("token")
        key = ("m.room.third_party_invite", token if isinstance(token, str) else "")
        invitation = (await read_state(self._db, room_id, [key]) or {}).get(key)
        if invitation is None or invitation.sender != inviter or signed.get("mxid") != user_id:
            raise forbidden("There is no such invitation to this room")
        proof = _proof(signed, invitation.content)
        third_party_invite = {"display_name": str(invitation.content.get("display_name", "")), "signed": proof}
        content = {"membership": "invite", "third_party_invite": third_party_invite, **await self._profile(user_id)}
        await self._send(room_id, invitation.sender, user_id, content)

    async def _state(self, room_id: str, user_id: str) -> State:
        state = await read_state(self._db, room_id, [*STATE_LOOKED_AT, (MEMBER, user_id)])
        if state is None:
            raise not_found(f"The room {room_id} is not known here")
        return state

    async def _present_membership(self, room_id: str, sender: str, user_id: str) -> str | None:
        parse_user_id(user_id)
        state = await read_state(self._db, room_id, [(MEMBER, user_id), (MEMBER, sender)]) or {}
        if _membership(state, sender) != "join":
            raise forbidden("You are not in this room")
        return _membership(state, user_id)

    async def _profile(self, user_id: str) -> dict[str, Any]:
        return (await member_profiles(self._db, [user_id]))[user_id]

    async def _send(
        self, room_id: str, sender: str, user_id: str, content: dict[str, Any], timestamp_ms: int | None = None
    ) -> str:
        intent = Intent(
            room_id=room_id,
            sender=sender,
            type=MEMBER,
            state_key=user_id,
            content=content,
            timestamp_ms=timestamp_ms,
        )
        return await self._sending.send(intent)


def _membership(state: State, user_id: str) -> str | None:
    event = state.get((MEMBER, user_id))
    return None if event is None else event.membership


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}


def _proof(signed: Mapping[str, Any], invitation: Mapping[str, Any]) -> dict[str, Any]:
    """What of a client's proof goes into the invite: what was signed. Identity servers sign the sender with the rest
    for whom they are asked by (/sign-ed25519), and without him for whom they tell a server of (/3pid/onbind)."""
    whole = {name: signed.get(name) for name in ("mxid", "sender", "token", "signatures")}
    return whole if is_signed(whole, invitation) else {key: whole[key] for key in whole if key != "sender"}
