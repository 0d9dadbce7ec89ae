"""Which software this is.

Spec: server-server API, #server-implementation.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.version import VERSION


class Version:
    """The same for everybody."""

    @endpoint(
        "GET",
        "/_matrix/federation/v1/version",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="server-server-api/#get_matrixfederationv1version",
    )
    async def version(self, request: Request) -> Reply:
        """Name and version."""
        return {"server": {"name": "Viaduct", "version": VERSION}}
