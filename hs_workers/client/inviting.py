"""Inviting users.

Spec: client-server API, #joining-rooms; #third-party-invites.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.accounts.json_fields import string
from hs_workers.client.membership_body import MembershipBody
from hs_workers.client.room.creating import third_party_invites_refused
from hs_workers.client.room.memberships import Memberships


class Inviting:
    """By user id; mail addresses and phone numbers belong to nobody here."""

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships

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
            raise third_party_invites_refused()
        body = request.body(MembershipBody)
        await self._memberships.invite(room_id, request.requester.user_id, body.user_id, body.reason)
        return {}
