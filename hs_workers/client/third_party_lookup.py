"""Other networks that bridges lead to.

Spec: client-server API, #third-party-networks.
"""

from hs_common.appservices.service_queries import ServiceQueries
from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found


class ThirdPartyLookup:
    """What application services say of their networks. `queries` None: nobody can be asked."""

    def __init__(self, queries: ServiceQueries | None) -> None:
        self._queries = queries

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/protocols",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocols",
    )
    async def protocols(self, request: Request) -> Reply:
        """All protocols of all services."""
        return {} if self._queries is None else await self._queries.protocols()

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/protocol/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol",
    )
    async def protocol(self, request: Request) -> Reply:
        """One of them. 404 `M_NOT_FOUND`."""
        found = None if self._queries is None else await self._queries.protocol(request.path["protocol"])
        if found is None:
            raise not_found("Unknown third-party protocol")
        return found

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/location/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartylocationprotocol",
    )
    async def locations_on(self, request: Request) -> Reply:
        """Portal rooms that match fields of the protocol."""
        return await self._found("location", request, "No portal room matches")

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/user/{protocol}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyuserprotocol",
    )
    async def users_on(self, request: Request) -> Reply:
        """Users that match fields of the protocol."""
        return await self._found("user", request, "No user matches")

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/location",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartylocation",
    )
    async def locations(self, request: Request) -> Reply:
        """What a portal room, by its alias, leads to."""
        request.query.string("alias")
        return await self._found("location", request, "The room is no portal to another network")

    @endpoint(
        "GET",
        "/_matrix/client/v3/thirdparty/user",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3thirdpartyuser",
    )
    async def users(self, request: Request) -> Reply:
        """Who a user is on other networks."""
        request.query.string("userid")
        return await self._found("user", request, "The user is not on another network")

    async def _found(self, kind: str, request: Request, otherwise: str) -> Reply:
        """What services answer, the client's token left out of what they are asked. 404 `M_NOT_FOUND` for nothing."""
        fields = {name: value for name, value in request.query.items() if name not in ("access_token", "user_id")}
        protocol = request.path.get("protocol")
        found = None if self._queries is None else await self._queries.third_party(kind, protocol, fields)
        if not found:
            raise not_found(otherwise)
        return found
