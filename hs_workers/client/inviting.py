"""Inviting users.

Spec: client-server API, #joining-rooms; #third-party-invites.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.accounts.json_fields import string
from hs_workers.client.membership_body import MembershipBody
from hs_workers.client.room.memberships import Memberships
from hs_workers.client.room.third_party_inviting import Address, ThirdPartyInviting


class Inviting:
    """By user id, or by a mail address or phone number that an identity server is asked about."""

    def __init__(self, memberships: Memberships, by_address: ThirdPartyInviting) -> None:
        self._memberships = memberships
        self._by_address = by_address

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/invite",
        auth=Auth.USER,
        rate=Rate.INVITE,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3roomsroomidinvite",
    )
    async def invite(self, request: Request) -> Reply:
        """Invites a user. A body without `user_id` but with `medium` is a third-party invite."""
        room_id = check_room_id(request.path["roomId"])
        json = request.json()
        if "user_id" not in json and "medium" in json:
            for key in ("id_server", "id_access_token", "medium", "address"):
                string(json, key)
            await self._by_address.invite(room_id, request.requester.user_id, request.body(Address))
            return {}
        body = request.body(MembershipBody)
        await self._memberships.invite(room_id, request.requester.user_id, body.user_id, body.reason)
        return {}
