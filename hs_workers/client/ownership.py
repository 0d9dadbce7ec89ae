"""By which stages a user can show that an account is his: by what he logs in with.

Spec: client-server API, #user-interactive-authentication-api.
"""

from collections.abc import Collection
from typing import Final

from hs_common.matrix.errors import unrecognized
from hs_common.storage.external_ids import external_ids_of
from hs_common.storage.queries import Queries
from hs_common.storage.users import account
from hs_workers.client.uia import Flows, Guarded
from hs_workers.client.uia_stages import OAUTH, OAUTH_UNSTABLE, PASSWORD, SSO

REPLACING_KEYS: Final = "POST /keys/device_signing/upload"
"""(spec) The only operation for which the service is asked."""


class Ownership:
    """`providers` are the ids of the identity providers that can be used. `is_delegated`: accounts are left to an
    authentication service alone."""

    def __init__(self, db: Queries, providers: Collection[str], is_delegated: bool) -> None:
        self._db = db
        self._providers = providers
        self._is_delegated = is_delegated

    async def flows(self, guarded: Guarded) -> Flows:
        """The password where there is one (or nobody is named yet), signing on where he has done so before.

        Where accounts are left to a service, and for its tokens in any case, only what it can confirm: 404
        `M_UNRECOGNIZED` for everything else.

        https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api
        """
        user_id = guarded.user_id
        if self._is_delegated or guarded.by_oauth:
            if guarded.name != REPLACING_KEYS:
                raise unrecognized("This server leaves that to the service where you logged in")
            return ((OAUTH,), (OAUTH_UNSTABLE,))
        if user_id is None or not self._providers:
            return ((PASSWORD,),)
        found = await account(self._db, user_id)
        signs_on = any(provider in self._providers for provider, _ in await external_ids_of(self._db, user_id))
        has_password = not signs_on or (found is not None and found.password_hash is not None)
        return (*(((PASSWORD,),) if has_password else ()), *(((SSO,),) if signs_on else ()))
