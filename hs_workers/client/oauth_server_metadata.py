"""Where clients find the authentication service, if this server leaves accounts to one.

Spec: client-server API, #server-metadata-discovery.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.oauth_service import OAuthService
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import unrecognized


class OAuthServerMetadata:
    """`service` is None where there is none."""

    def __init__(self, service: OAuthService | None) -> None:
        self._service = service

    @endpoint(
        "GET",
        "/_matrix/client/v1/auth_metadata",
        auth=Auth.NONE,
        rate=Rate.DEFAULT,
        reads=False,
        aliases=("/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",),
        spec="client-server-api/#get_matrixclientv1auth_metadata",
    )
    async def metadata(self, request: Request) -> Reply:
        """What the service says of itself. 404 `M_UNRECOGNIZED` where the older API is used."""
        if self._service is None:
            raise unrecognized("This server does not use the OAuth 2.0 API")
        return Response(200, await self._service.metadata(), {"Cache-Control": "public, max-age=600"})

    @endpoint(
        "GET",
        "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer",
        auth=Auth.NONE,
        rate=Rate.DEFAULT,
        reads=False,
        spec="MSC2965, which clients of before the merged form ask",
    )
    async def issuer(self, request: Request) -> Reply:
        """The service's URL."""
        if self._service is None:
            raise unrecognized("This server does not use the OAuth 2.0 API")
        return {"issuer": self._service.settings.issuer}
