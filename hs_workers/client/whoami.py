"""Whose access token is this?

Spec: client-server API, #get_matrixclientv3accountwhoami.
"""

from typing import Any

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request


class WhoAmI:
    """Answers from the token alone."""

    @endpoint(
        "GET",
        "/_matrix/client/v3/account/whoami",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3accountwhoami",
    )
    async def whoami(self, request: Request) -> Reply:
        """The user, and the device if the token has one."""
        requester = request.requester
        answer: dict[str, Any] = {"user_id": requester.user_id, "is_guest": requester.is_guest}
        return answer if requester.device_id is None else {**answer, "device_id": requester.device_id}
