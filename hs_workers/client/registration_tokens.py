"""Whether a registration token would be accepted.

Spec: client-server API, #token-authenticated-registration.
"""

from collections.abc import Callable

from hs_common.config.accounts import Registration as Settings
from hs_common.http.endpoint import Auth, Rate, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden
from hs_common.storage.queries import Queries
from hs_common.storage.registration_tokens import is_token_valid


class RegistrationTokens:
    """`now_ms` is the time of day."""

    def __init__(self, settings: Settings, db: Queries, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._db = db
        self._now_ms = now_ms

    @endpoint(
        "GET",
        "/_matrix/client/v1/register/m.login.registration_token/validity",
        auth=Auth.NONE,
        rate=Rate.REGISTRATION,
        reads=False,
        aliases=(unstable("org.matrix.msc3231"),),
        spec="client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity",
    )
    async def validity(self, request: Request) -> Reply:
        """At the moment; the token may be used up by others before it is used."""
        token = request.query.string("token")
        if not self._settings.enabled:
            raise forbidden("Registration is disabled")
        return {"valid": "\0" not in token and await is_token_valid(self._db, token, self._now_ms())}
