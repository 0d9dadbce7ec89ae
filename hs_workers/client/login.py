"""Logging in.

Spec: client-server API, #legacy-login.
"""

from collections.abc import Iterable
from typing import Any, Final

from hs_common.appservices.registry import ServiceRegistry
from hs_common.config.sso import OidcProvider
from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_workers.client.accounts.json_fields import boolean, optional_string, string
from hs_workers.client.accounts.logging_in import LoggingIn
from hs_workers.client.accounts.service_accounts import calling_service, check_in_namespace
from hs_workers.client.accounts.tokens import DeviceWish
from hs_workers.client.accounts.user_identifiers import UserIdentifiers
from hs_workers.client.arrivals import Arrivals

SERVICE: Final = "m.login.application_service"


class Login:
    """Passwords and login tokens. `flows` is what clients are told."""

    def __init__(
        self,
        logging_in: LoggingIn,
        arrivals: Arrivals,
        services: ServiceRegistry,
        identifiers: UserIdentifiers,
        flows: list[dict[str, Any]],
    ) -> None:
        self._flows = flows
        self._kinds = {flow["type"] for flow in flows}
        self._logging_in = logging_in
        self._arrivals = arrivals
        self._services = services
        self._identifiers = identifiers

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
        return {"flows": self._flows}

    @endpoint(
        "POST",
        "/_matrix/client/v3/login",
        auth=Auth.SERVICE_OPTIONAL,
        rate=Rate.LOGIN,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3login",
    )
    async def login(self, request: Request) -> Reply:
        """A session for a new or an old device."""
        return await self._arrivals.note(request, await self._logged_in(request, request.json()))

    async def _logged_in(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        kind = string(body, "type")
        if kind not in self._kinds:
            raise MatrixError(400, "M_UNKNOWN", "Unknown login type")
        if kind == "m.login.password":
            user_id, password = await self._identifiers.named(body), string(body, "password")
            return await self._logging_in.with_password(user_id, password, _wish(body))
        if kind == "m.login.token":
            return await self._logging_in.with_token(string(body, "token"), _wish(body))
        if kind == SERVICE:
            service = calling_service(request, await self._services.services())
            user_id = await self._identifiers.named(body)
            check_in_namespace(service, user_id)
            return await self._logging_in.as_service(user_id, _wish(body))
        raise MatrixError(400, "M_UNKNOWN", "Unknown login type")


def login_flows(
    has_passwords: bool,
    providers: Iterable[OidcProvider],
    *,
    is_delegated: bool = False,
    has_oauth: bool = False,
) -> list[dict[str, Any]]:
    """The ways of logging in, as clients are told them. Where that is left to an authentication service, only bridges
    log in here; where there is one beside this server, clients that have heard of such prefer single sign-on.

    https://spec.matrix.org/v1.19/client-server-api/#definition-mloginsso-flow-schema
    """
    if is_delegated:
        return [{"type": SERVICE}]
    flows: list[dict[str, Any]] = [{"type": "m.login.password"}] if has_passwords else []
    shown = [_provider(provider) for provider in providers]
    if shown:
        preferred = {"oauth_aware_preferred": True} if has_oauth else {}
        flows.append({"type": "m.login.sso", "identity_providers": shown, **preferred})
    return [*flows, {"type": "m.login.token", "get_login_token": True}, {"type": SERVICE}]


def _provider(provider: OidcProvider) -> dict[str, Any]:
    optional = {"icon": provider.icon, "brand": provider.brand}
    return {"id": provider.id, "name": provider.name, **{name: value for name, value in optional.items() if value}}


def _wish(body: dict[str, Any]) -> DeviceWish:
    return DeviceWish(
        device_id=optional_string(body, "device_id"),
        display_name=optional_string(body, "initial_device_display_name"),
        refreshes=boolean(body, "refresh_token"),
    )
