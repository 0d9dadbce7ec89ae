"""Registering by tools that know the server's shared secret, also while registration is closed to clients.

Not in the specification: the path and form are those that administration tools, bridges and tests expect.
"""

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.process.password_hasher import PasswordHasher
from hs_workers.client.accounts.passwords import PasswordRules
from hs_workers.client.accounts.profile_fields import DISPLAY_NAME, field_value
from hs_workers.client.accounts.registering import Registering, Usernames
from hs_workers.client.accounts.shared_secret import Claim, SharedSecret
from hs_workers.client.accounts.tokens import DeviceWish
from hs_workers.client.arrivals import Arrivals


class _Body(msgspec.Struct):
    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None
    displayname: str | None = None
    inhibit_login: bool = False


class SharedSecretRegistration:
    """`GET` gives a nonce, `POST` makes an account of it."""

    def __init__(
        self,
        server_name: str,
        secret: SharedSecret,
        usernames: Usernames,
        rules: PasswordRules,
        hasher: PasswordHasher,
        registering: Registering,
        arrivals: Arrivals,
    ) -> None:
        self._server_name = server_name
        self._secret = secret
        self._usernames = usernames
        self._rules = rules
        self._hasher = hasher
        self._registering = registering
        self._arrivals = arrivals

    @endpoint(
        "GET",
        "/_synapse/admin/v1/register",
        auth=Auth.NONE,
        rate=Rate.REGISTRATION,
        reads=False,
        spec="Synapse's admin API, shared-secret registration",
    )
    async def nonce(self, request: Request) -> Reply:
        """A nonce for one registration."""
        return {"nonce": self._secret.nonce()}

    @endpoint(
        "POST",
        "/_synapse/admin/v1/register",
        auth=Auth.NONE,
        rate=Rate.REGISTRATION,
        spec="Synapse's admin API, shared-secret registration",
    )
    async def register(self, request: Request) -> Reply:
        """The account, with a session. The password may be shorter than clients' must be."""
        body = request.body(_Body)
        self._secret.check(Claim(body.nonce, body.username, body.password, body.admin, body.user_type), body.mac)
        await self._usernames.check_free(body.username)
        self._rules.check_length(body.password)
        display_name = field_value(DISPLAY_NAME, {DISPLAY_NAME: body.displayname or body.username})
        answer = await self._registering.user(
            body.username,
            await self._hasher.hash(body.password),
            None if body.inhibit_login else DeviceWish(),
            admin=body.admin,
            profile={} if display_name is None else {DISPLAY_NAME: display_name},
        )
        return {**await self._arrivals.note(request, answer), "home_server": self._server_name}
