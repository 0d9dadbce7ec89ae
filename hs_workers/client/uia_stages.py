"""The stages of user-interactive authentication that this server knows.

A stage looks at the `auth` object of one request and answers what is to be remembered, or raises StageFailed, after
which the client may try again. What it holds for the session (a use of a registration token) it gives back when told
that the session came to nothing.

Spec: client-server API, #authentication-types.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hs_common.config.terms import Terms
from hs_common.matrix.errors import bad_json, missing_param
from hs_common.storage.queries import Queries
from hs_common.storage.registration_tokens import complete_token, release_token, reserve_token
from hs_workers.client.accounts.account_states import user_locked
from hs_workers.client.accounts.passwords import Passwords
from hs_workers.client.accounts.user_identifiers import UserIdentifiers

PASSWORD = "m.login.password"
DUMMY = "m.login.dummy"
REGISTRATION_TOKEN = "m.login.registration_token"
TERMS = "m.login.terms"
EMAIL = "m.login.email.identity"
RECAPTCHA = "m.login.recaptcha"
SSO = "m.login.sso"
OAUTH = "m.oauth"
OAUTH_UNSTABLE = "org.matrix.cross_signing_reset"

Details = Mapping[str, Any]
Policies = dict[str, dict[str, Any]]


class StageFailed(Exception):
    """The attempt did not succeed; the session goes on."""

    def __init__(self, errcode: str, error: str) -> None:
        super().__init__(error)
        self.errcode = errcode
        self.error = error


class Stage(Protocol):
    """One authentication type."""

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """What to remember of a success. `user_id` is whom the access token of the request belongs to, if it had one.

        Raises StageFailed, and MatrixError for what is not even an attempt.
        """

    def params(self) -> dict[str, Any] | None:
        """What clients must know to attempt it."""

    async def succeeded(self, details: Details) -> None:
        """The operation that the session was for is done."""

    async def abandoned(self, details: Details) -> None:
        """The session has come to nothing."""


class StatelessStage:
    """What most stages do beside attempting."""

    def params(self) -> dict[str, Any] | None:
        """Nothing."""
        return None

    async def succeeded(self, details: Details) -> None:
        """Nothing was held."""

    async def abandoned(self, details: Details) -> None:
        """Nothing was held."""


class DummyStage(StatelessStage):
    """Always succeeds. Spec: #dummy-auth."""

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}


class TermsStage(StatelessStage):
    """The user accepted the policies. Spec: #terms-of-service-at-registration.

    `policies` is the object that clients are shown: id → {version, language → {name, url}}. Which versions were
    accepted is remembered with the session's details.
    """

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """The versions of the policies that were shown."""
        return {"terms": {name: policy["version"] for name, policy in self._policies.items()}}

    def params(self) -> dict[str, Any] | None:
        """The policies."""
        return {"policies": self._policies}


def policies_of(terms: Terms) -> Policies:
    """The configured policies as clients are shown them."""
    policies: Policies = {}
    for policy in terms.policies:
        shown = policies.setdefault(policy.id, {"version": policy.version})
        shown[policy.language] = {"name": policy.name, "url": policy.url}
    return policies


def documents(policies: Policies) -> list[dict[str, str]]:
    """Each document in each language: name and url."""
    return [one for policy in policies.values() for one in policy.values() if isinstance(one, dict)]


class PasswordStage(StatelessStage):
    """The user's password. Without an access token the stage also says who the user is. Spec: #password-based."""

    def __init__(self, passwords: Passwords, identifiers: UserIdentifiers) -> None:
        self._passwords = passwords
        self._identifiers = identifiers

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Remembers the user. Only the one whom the access token belongs to will do, if there is one."""
        password = auth.get("password")
        if password is None:
            raise missing_param("`auth.password` is missing")
        if not isinstance(password, str):
            raise bad_json("`auth.password` must be a string")
        # Some clients leave out the identifier, as the access token says who they are.
        is_named = user_id is None or "identifier" in auth or "user" in auth
        named = await self._identifiers.named(auth) if is_named else str(user_id)
        account = await self._passwords.opened(named, password)
        if account is None or account.deactivated or user_id not in (None, account.user_id):
            raise StageFailed("M_FORBIDDEN", "Invalid password")
        if account.locked:
            raise user_locked()
        return {"user_id": account.user_id}


class RegistrationTokenStage:
    """A token that the administrator gave out. Spec: #token-authenticated-registration."""

    def __init__(self, db: Queries, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Holds one use of the token until the session ends."""
        token = auth.get("token")
        if token is None:
            raise missing_param("`auth.token` is missing")
        if not isinstance(token, str):
            raise bad_json("`auth.token` must be a string")
        if "\0" in token or not await reserve_token(self._db, token, self._now_ms()):
            raise StageFailed("M_UNAUTHORIZED", "Invalid registration token")
        return {"registration_token": token}

    def params(self) -> dict[str, Any] | None:
        """Nothing."""
        return None

    async def succeeded(self, details: Details) -> None:
        """The use is used up."""
        if "registration_token" in details:
            await complete_token(self._db, details["registration_token"])

    async def abandoned(self, details: Details) -> None:
        """The use is free again."""
        if "registration_token" in details:
            await release_token(self._db, details["registration_token"])
