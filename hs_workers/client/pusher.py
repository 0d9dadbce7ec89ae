"""Pushers.

Spec: client-server API, #get_matrixclientv3pushers.
"""

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request


class Pushers:
    """Nothing is pushed from here, so nobody has a pusher."""

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushers",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3pushers",
    )
    async def list(self, request: Request) -> Reply:
        """The empty list."""
        return {"pushers": []}
