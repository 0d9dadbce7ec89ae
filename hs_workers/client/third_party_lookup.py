"""Other networks that bridges lead to.

Spec: client-server API, #third-party-networks.
"""

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found


class ThirdPartyLookup:
    """No bridge is registered here, so there are no protocols, and nothing is found on them."""

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/protocols",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocols",
    )
    async def protocols(self, request: Request) -> Reply:
        """None."""
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/protocol/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol",
    )
    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/location/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartylocationprotocol",
    )
    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/user/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyuserprotocol",
    )
    async def on_protocol(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND`: every protocol is unknown."""
        raise not_found("Unknown third-party protocol")

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/location",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartylocation",
    )
    async def locations(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND`: no room is a portal."""
        request.query.string("alias")
        raise not_found("The room is no portal to another network")

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/user",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyuser",
    )
    async def users(self, request: Request) -> Reply:
        """404 `M_NOT_FOUND`: no user is on another network."""
        request.query.string("userid")
        raise not_found("The user is not on another network")
