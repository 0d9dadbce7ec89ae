"""Registering accounts.

Spec: client-server API, #legacy-account-registration.
"""

from typing import Any

from twisted.logger import Logger

from hs_common.appservices.registry import ServiceRegistry
from hs_common.config.accounts import Registration as Settings
from hs_common.http.consent import consent_text
from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param, missing_param
from hs_common.process.password_hasher import PasswordHasher
from hs_workers.client.accounts.guests import Guests
from hs_workers.client.accounts.json_fields import boolean, optional_string, string
from hs_workers.client.accounts.passwords import PasswordRules
from hs_workers.client.accounts.registering import Registering, Usernames
from hs_workers.client.accounts.service_accounts import calling_service
from hs_workers.client.accounts.threepids import Confirmed, Threepids
from hs_workers.client.accounts.tokens import DeviceWish
from hs_workers.client.arrivals import Arrivals
from hs_workers.client.uia import Flows, Guarded, Proof, UserInteractiveAuthentication
from hs_workers.client.uia_email import DETAIL as EMAIL_DETAIL

_log = Logger()


class Registration:
    """Accounts made by clients. `flows` is what they have to go through."""

    def __init__(
        self,
        settings: Settings,
        flows: Flows,
        uia: UserInteractiveAuthentication,
        usernames: Usernames,
        rules: PasswordRules,
        hasher: PasswordHasher,
        registering: Registering,
        threepids: Threepids,
        guests: Guests,
        arrivals: Arrivals,
        services: ServiceRegistry,
    ) -> None:
        self._settings = settings
        self._threepids = threepids
        self._guests = guests
        self._services = services
        self._flows = flows
        self._uia = uia
        self._usernames = usernames
        self._rules = rules
        self._hasher = hasher
        self._registering = registering
        self._arrivals = arrivals

    @endpoint(
        "POST",
        "/_matrix/client/v3/register",
        auth=Auth.SERVICE_OPTIONAL,
        rate=Rate.REGISTRATION,
        aliases=(r0, v1),
        spec="client-server-api/#post_matrixclientv3register",
    )
    async def register(self, request: Request) -> Reply:
        """An account for a user or a guest."""
        kind = request.query.string("kind", "user")
        if kind == "guest":
            return await self._guest(request)
        if kind != "user":
            raise invalid_param("`kind` must be user or guest")
        body = request.json()
        if body.get("type") == "m.login.application_service":
            return await self._service_user(request, body)
        return await self._user(request, body)

    async def _service_user(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        """Application services make users of theirs without any stage.

        https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions
        """
        service = calling_service(request, await self._services.services())
        answer = await self._registering.service_user(string(body, "username"), service, _wish(body))
        return await self._arrivals.note(request, answer)

    async def _guest(self, request: Request) -> Reply:
        if not self._settings.guests:
            raise forbidden("Guests are not let in here")
        # Of a guest's body only the display name counts.
        wish = DeviceWish(display_name=optional_string(request.json(optional=True), "initial_device_display_name"))
        return await self._arrivals.note(request, await self._registering.guest(wish.display_name))

    async def _user(self, request: Request, body: dict[str, Any]) -> Reply:
        if not self._settings.enabled:
            raise forbidden("Registration is disabled")
        guest_id = await self._check(body)

        async def remember() -> dict[str, Any]:
            # Hashed at once: a follow-up may leave the body out, and no password is to lie in a table until then.
            password = body.get("password")
            wanted = {key: body[key] for key in _REMEMBERED if body.get(key) is not None}
            if guest_id is not None:
                wanted["guest_id"] = guest_id
            return wanted if password is None else {**wanted, "password_hash": await self._hasher.hash(password)}

        async def finish(proof: Proof) -> Reply:
            return await self._arrivals.note(request, await self._finish(proof))

        guarded = Guarded("POST /register", body, None, self._flows, body_may_be_omitted=True)
        return await self._uia.run(guarded, finish, remember)

    async def _check(self, body: dict[str, Any]) -> str | None:
        """Everything that can be wrong is said before the client goes through the stages. The guest who wants to stay,
        if it is one."""
        username = optional_string(body, "username")
        password = optional_string(body, "password")
        guest_token = optional_string(body, "guest_access_token")
        _wish(body)
        guest_id = None
        if guest_token is not None:
            guest_id = await self._guests.named(guest_token, username)
        elif username is not None:
            await self._usernames.check_free(username)
        if password is not None:  # after the name: who sees that his name is taken need not think of a password
            self._rules.check(password)
        return guest_id

    async def _finish(self, proof: Proof) -> dict[str, Any]:
        wanted = proof.details
        if "password_hash" not in wanted:
            raise missing_param("`password` is missing")
        kept = wanted.get(EMAIL_DETAIL)
        confirmed = None if kept is None else Confirmed.from_json(kept)
        if confirmed is not None:
            await self._threepids.check_free(confirmed, None)
        password_hash, wish = wanted["password_hash"], _wish(dict(wanted))
        if "guest_id" in wanted:
            answer = await self._registering.upgrade(wanted["guest_id"], password_hash, wish)
        else:
            consent = consent_text(wanted["terms"]) if "terms" in wanted else None
            answer = await self._registering.user(wanted.get("username"), password_hash, wish, consent=consent)
        if confirmed is not None:
            await self._add(answer["user_id"], confirmed)
        return answer

    async def _add(self, user_id: str, confirmed: Confirmed) -> None:
        """The account is made; it stays when another one took the address in this very moment."""
        try:
            await self._threepids.add(user_id, confirmed)
        except MatrixError as error:
            _log.warn("{user_id} was registered without the address: {error}", user_id=user_id, error=error)

    @endpoint(
        "GET",
        "/_matrix/client/v3/register/available",
        auth=Auth.NONE,
        reads=False,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3registeravailable",
    )
    async def available(self, request: Request) -> Reply:
        """Whether a name can be registered; if not, the error says why."""
        username = request.query.string("username")
        if not self._settings.enabled:
            raise forbidden("Registration is disabled")
        await self._usernames.check_free(username)
        return {"available": True}


_REMEMBERED = ("username", "device_id", "initial_device_display_name", "refresh_token", "inhibit_login")


def _wish(body: dict[str, Any]) -> DeviceWish | None:
    """The device that the client wants, or None if it does not want to be logged in."""
    wish = DeviceWish(
        device_id=optional_string(body, "device_id"),
        display_name=optional_string(body, "initial_device_display_name"),
        refreshes=boolean(body, "refresh_token"),
    )
    return None if boolean(body, "inhibit_login") else wish
