"""By which stages a user can show that an account is his: by what he logs in with.

Spec: client-server API, #user-interactive-authentication-api.
"""

from collections.abc import Container

from hs_common.storage.external_ids import external_ids_of
from hs_common.storage.queries import Queries
from hs_common.storage.users import account
from hs_workers.client.uia import Flows
from hs_workers.client.uia_stages import PASSWORD, SSO


class Ownership:
    """`providers` are the ids of the identity providers that can be used."""

    def __init__(self, db: Queries, providers: Container[str]) -> None:
        self._db = db
        self._providers = providers

    async def flows(self, user_id: str | None) -> Flows:
        """The password where there is one (or nobody is named yet), signing on where he has done so before."""
        if user_id is None or not self._providers:
            return ((PASSWORD,),)
        found = await account(self._db, user_id)
        signs_on = any(provider in self._providers for provider, _ in await external_ids_of(self._db, user_id))
        has_password = not signs_on or (found is not None and found.password_hash is not None)
        return (*(((PASSWORD,),) if has_password else ()), *(((SSO,),) if signs_on else ()))
