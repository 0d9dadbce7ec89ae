"""Where clients and other servers find this server, for domains whose web server asks us.

Spec: client-server API, #well-known-uris, #getwell-knownmatrixpolicy_server; server-server API,
#getwell-knownmatrixserver.
"""

from typing import Any, Final

from hs_common.config.identity import Server
from hs_common.config.oauth import OAuth
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found

NO_OAUTH: Final = OAuth()


def client_well_known(server: Server, oauth: OAuth = NO_OAUTH) -> dict[str, Any] | None:
    """What clients are told of this server's address; None if it is not configured. Of the authentication service they
    learn from the server itself; those of before version 1.15 of the specification look here."""
    if not server.public_baseurl:
        return None
    told: dict[str, Any] = {"m.homeserver": {"base_url": server.public_baseurl}}
    if oauth.issuer:
        account = {"account": oauth.account_management_url} if oauth.account_management_url else {}
        told["org.matrix.msc2965.authentication"] = {"issuer": oauth.issuer, **account}
    return told


class WellKnown:
    """Answers from the configuration; 404 `M_NOT_FOUND` for what is not in it."""

    def __init__(self, server: Server, oauth: OAuth = NO_OAUTH) -> None:
        self._client = client_well_known(server, oauth) if server.well_known else None
        self._server = server.well_known_server if server.well_known else ""
        self._policy_server_key = server.policy_server_key if server.well_known else ""

    @endpoint(
        "GET",
        "/.well-known/matrix/client",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="client-server-api/#getwell-knownmatrixclient",
    )
    async def client(self, request: Request) -> Reply:
        """The base URL for clients."""
        if self._client is None:
            raise not_found("No discovery information is configured")
        return self._client

    @endpoint(
        "GET",
        "/.well-known/matrix/server",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="server-server-api/#getwell-knownmatrixserver",
    )
    async def server(self, request: Request) -> Reply:
        """The host and port for other servers."""
        if not self._server:
            raise not_found("No delegation is configured")
        return {"m.server": self._server}

    @endpoint(
        "GET",
        "/.well-known/matrix/policy_server",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="client-server-api/#getwell-knownmatrixpolicy_server",
    )
    async def policy_server(self, request: Request) -> Reply:
        """The key of the domain's policy server, which need not be this one."""
        if not self._policy_server_key:
            raise not_found("No policy server is configured")
        return {"public_keys": {"ed25519": self._policy_server_key}}
