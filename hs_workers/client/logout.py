"""Logging out. Tokens of an authentication service end there: here nothing could keep them from being used again.

Spec: client-server API, #post_matrixclientv3logout.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request, Requester
from hs_common.matrix.errors import unrecognized
from hs_common.replication.calls import CloseSessions
from hs_common.replication.link_interface import Link


class Logout:
    """Ends sessions; their devices go with them. Locked and suspended accounts may."""

    def __init__(self, master: Link) -> None:
        self._master = master

    @endpoint(
        "POST",
        "/_matrix/client/v3/logout",
        auth=Auth.USER,
        aliases=(r0, v1),
        locked_ok=True,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3logout",
    )
    async def logout(self, request: Request) -> Reply:
        """Ends the requester's own session, or an administrator's as the requester. A service's own token, which has no
        device, cannot be logged out."""
        requester = _of_this_server(request)
        if requester.device_id is not None:
            await self._master.call(CloseSessions(user_id=requester.user_id, device_ids=[requester.device_id]))
        elif requester.opened_by is not None:
            call = CloseSessions(user_id=requester.user_id, device_ids=[], token_hash=requester.token_hash)
            await self._master.call(call)
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/logout/all",
        auth=Auth.USER,
        aliases=(r0, v1),
        locked_ok=True,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3logoutall",
    )
    async def logout_all(self, request: Request) -> Reply:
        """Ends all sessions of the user."""
        await self._master.call(CloseSessions(user_id=_of_this_server(request).user_id, device_ids=None))
        return {}


def _of_this_server(request: Request) -> Requester:
    """Who logs out. 404 `M_UNRECOGNIZED`: who logged in by one API uses only that.

    https://spec.matrix.org/v1.19/client-server-api/#client-authentication
    """
    if request.requester.by_oauth:
        raise unrecognized("This session belongs to the authentication service: revoke its token there")
    return request.requester
