"""Whose account a person at an identity provider has, and what his account may be called if he has none.

Rules: a tie, once made, holds for ever; an account and its tie are made in one step. What a provider says of a name is
a suggestion; the rules for user names hold.

Spec: client-server API, #handling-the-callback-from-the-authentication-server; appendices,
#mapping-from-other-character-sets.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from hs_common.config.sso import OidcProvider
from hs_common.matrix.errors import MatrixError
from hs_common.replication.link_interface import Link
from hs_common.replication.sign_on_calls import ExternalId, SetExternalIds
from hs_common.storage.external_ids import user_of_external_id
from hs_common.storage.queries import Queries
from hs_common.storage.users import Account, account
from hs_workers.client.accounts.profile_fields import DISPLAY_NAME, DISPLAY_NAME_LIMIT, field_value
from hs_workers.client.accounts.registering import Registering, Usernames

_ALLOWED: Final = re.compile(r"[^a-z0-9._/+-]")
SUGGESTION_LIMIT: Final = 100


def suggested_localpart(claim: object) -> str:
    """A valid localpart from what a provider calls somebody (a name, or a mail address); empty if there is none."""
    if not isinstance(claim, str):
        return ""
    name = claim.partition("@")[0].strip().lower()
    return _ALLOWED.sub(lambda found: "".join(f"={byte:02x}" for byte in found[0].encode()), name)[:SUGGESTION_LIMIT]


def suggestions(settings: OidcProvider, claims: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the claims until the person has chosen."""
    name = claims.get(settings.display_name_claim)
    return {
        "localpart": suggested_localpart(claims.get(settings.localpart_claim)),
        "display_name": name[:DISPLAY_NAME_LIMIT].replace("\0", "") if isinstance(name, str) else "",
    }


class People:
    """Finds and makes accounts."""

    def __init__(self, db: Queries, master: Link, usernames: Usernames, registering: Registering) -> None:
        self._db = db
        self._master = master
        self._usernames = usernames
        self._registering = registering

    async def account_of(self, settings: OidcProvider, subject: str, names: Mapping[str, Any]) -> Account | None:
        """The person's account; one of his name, where the config says that the provider's names are ours."""
        user_id = await user_of_external_id(self._db, settings.id, subject)
        if user_id is None and settings.links_existing and names["localpart"]:
            found = await account(self._db, self._usernames.any_user_id(names["localpart"]))
            if found is not None and not found.deactivated and not found.is_guest:
                await self.tie(settings, subject, found.user_id)
                return found
        return None if user_id is None else await account(self._db, user_id)

    async def tie(self, settings: OidcProvider, subject: str, user_id: str) -> None:
        """The account is the person's from now on. 400 `M_USER_IN_USE` if he just got another one."""
        await self._master.call(SetExternalIds(user_id=user_id, added=[ExternalId(settings.id, subject)]))

    async def is_free(self, localpart: str) -> bool:
        """Whether an account could be called that."""
        try:
            await self._usernames.check_free(localpart)
        except MatrixError:
            return False
        return True

    async def make(self, settings: OidcProvider, subject: str, localpart: str, display_name: str) -> str:
        """A new account for the person; its user id. 400 `M_USER_IN_USE`, `M_INVALID_USERNAME` or `M_EXCLUSIVE`."""
        await self._usernames.check_free(localpart)
        shown = field_value(DISPLAY_NAME, {DISPLAY_NAME: display_name or localpart})
        profile = {} if shown is None else {DISPLAY_NAME: shown}
        owner = ExternalId(settings.id, subject)
        answer = await self._registering.user(localpart, None, None, profile=profile, external_id=owner)
        return str(answer["user_id"])
