"""Invites of e-mail addresses and the like, once they belong to a user.

Spec: server-server API, #third-party-invites.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json
from hs_common.matrix.identifiers import check_room_id
from hs_workers.federation_inbound.third_party_invites import ThirdPartyInvites

BODY_LIMIT_BYTES: Final = 128 * 1024


class ThirdPartyInvite:
    """Identity servers do not sign their requests: what they tell is proved by what is in it."""

    def __init__(self, invites: ThirdPartyInvites) -> None:
        self._invites = invites

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/exchange_third_party_invite/{roomId}",
        auth=Auth.SERVER,
        rate=Rate.INVITE,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid",
    )
    async def exchange(self, request: Request) -> Reply:
        """The user is invited."""
        await self._invites.exchange(request.origin, check_room_id(request.path["roomId"]), request.json())
        return {}

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/3pid/onbind",
        auth=Auth.NONE,
        rate=Rate.INVITE,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#put_matrixfederationv13pidonbind",
    )
    async def bound(self, request: Request) -> Reply:
        """The user of this server is invited where the address was."""
        body = request.json()
        invites = body.get("invites", [])
        if not isinstance(invites, list):
            raise bad_json("`invites` must be a list")
        await self._invites.bound(body.get("mxid"), invites)
        return {}
