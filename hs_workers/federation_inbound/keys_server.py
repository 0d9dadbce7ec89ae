"""Our own keys.

Spec: server-server API, #publishing-keys.
"""

from hs_common.federation.own_keys import OwnKeys
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request


class KeysServer:
    """Signs the answer anew each time: it names until when it may be believed."""

    def __init__(self, own_keys: OwnKeys) -> None:
        self._own_keys = own_keys

    @endpoint(
        "GET",
        "/_matrix/key/v2/server",
        auth=Auth.NONE,
        reads=False,
        aliases=("/_matrix/key/v2/server/{keyId}",),
        spec="server-server-api/#get_matrixkeyv2server",
    )
    async def keys(self, request: Request) -> Reply:
        """The key in use and the old ones. Servers of before version 1.6 name a key, and get all."""
        return self._own_keys.published()
