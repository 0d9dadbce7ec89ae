"""Logging in.

Spec: client-server API, #legacy-login.
"""

from typing import Any

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden
from hs_workers.client.accounts.json_fields import boolean, optional_string, string
from hs_workers.client.accounts.logging_in import LoggingIn
from hs_workers.client.accounts.tokens import DeviceWish
from hs_workers.client.accounts.user_identifiers import named_user
from hs_workers.client.arrivals import Arrivals

FLOWS = {"flows": [{"type": "m.login.password"}, {"type": "m.login.token", "get_login_token": True}]}


class Login:
    """Passwords and login tokens."""

    def __init__(self, logging_in: LoggingIn, arrivals: Arrivals, server_name: str) -> None:
        self._logging_in = logging_in
        self._arrivals = arrivals
        self._server_name = server_name

    @endpoint(
        "GET",
        "/_matrix/client/v3/login",
        auth=Auth.NONE,
        reads=False,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3login",
    )
    async def flows(self, request: Request) -> Reply:
        """How one can log in here."""
        return FLOWS

    @endpoint(
        "POST",
        "/_matrix/client/v3/login",
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3login",
    )
    async def login(self, request: Request) -> Reply:
        """A session for a new or an old device."""
        return await self._arrivals.note(request, await self._logged_in(request.json()))

    async def _logged_in(self, body: dict[str, Any]) -> dict[str, Any]:
        kind = string(body, "type")
        if kind == "m.login.password":
            user_id, password = named_user(body, self._server_name), string(body, "password")
            return await self._logging_in.with_password(user_id, password, _wish(body))
        if kind == "m.login.token":
            return await self._logging_in.with_token(string(body, "token"), _wish(body))
        if kind == "m.login.application_service":
            raise forbidden("No application service has this access token")
        raise MatrixError(400, "M_UNKNOWN", "Unknown login type")


def _wish(body: dict[str, Any]) -> DeviceWish:
    return DeviceWish(
        device_id=optional_string(body, "device_id"),
        display_name=optional_string(body, "initial_device_display_name"),
        refreshes=boolean(body, "refresh_token"),
    )
