"""The stage of user-interactive authentication in which a confirmed mail address shows who one is.

Rules: an address that was confirmed for a new account is remembered with the session, which then adds it; one that was
confirmed for a new password says whose account it is. Neither does for the other.

Spec: client-server API, #email-based-identity--homeserver.
"""

from typing import Any

from hs_common.matrix.errors import bad_json, missing_param
from hs_common.storage.queries import Queries
from hs_common.storage.threepids import user_of_threepid
from hs_common.storage.users import Account, account
from hs_workers.client.accounts.account_states import user_locked
from hs_workers.client.accounts.address_validation import AddressValidation, Purpose, check_client_secret
from hs_workers.client.accounts.json_fields import string
from hs_workers.client.accounts.threepids import Confirmed
from hs_workers.client.uia_stages import StageFailed, StatelessStage

DETAIL = "threepid"
"""Where the confirmed address stands among the details of the session."""


class EmailStage(StatelessStage):
    """The session of the address goes with the session of the authentication."""

    def __init__(self, db: Queries, validation: AddressValidation) -> None:
        self._db = db
        self._validation = validation

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Remembers the confirmed address, or the user whose it is. Only the user of the access token will do, if
        there is one."""
        # Before r0.6 clients wrote it in the other way.
        credentials = auth.get("threepid_creds", auth.get("threepidCreds"))
        if credentials is None:
            raise missing_param("`auth.threepid_creds` is missing")
        if not isinstance(credentials, dict):
            raise bad_json("`auth.threepid_creds` must be an object")
        sid, client_secret = string(credentials, "sid"), string(credentials, "client_secret")
        check_client_secret(client_secret)
        session = await self._validation.validated(sid, client_secret, Purpose.REGISTRATION, Purpose.PASSWORD_RESET)
        if session is None:
            raise StageFailed("M_UNAUTHORIZED", "The address is not confirmed. Follow the link in the mail first")
        if session.purpose == Purpose.REGISTRATION.value:
            return {DETAIL: Confirmed.of(session).json()}
        found = await self._owner(session.medium, session.address)
        if found is None or user_id not in (None, found.user_id):
            raise StageFailed("M_UNAUTHORIZED", "This address does not belong to the account")
        if found.locked:
            raise user_locked()
        await self._validation.finished(session.session_id)
        return {"user_id": found.user_id}

    async def _owner(self, medium: str, address: str) -> Account | None:
        owner = await user_of_threepid(self._db, medium, address)
        found = None if owner is None else await account(self._db, owner)
        return None if found is None or found.deactivated else found
