"""Whom a login or an authentication stage names.

Spec: client-server API, #identifier-types.
"""

from typing import Any

from hs_common.email.mail import canonical_address
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, missing_param
from hs_common.matrix.identifiers import is_short
from hs_common.storage.queries import Queries
from hs_common.storage.threepids import user_of_threepid


class UserIdentifiers:
    """Finds users by their ids and third-party identifiers."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def named(self, body: dict[str, Any]) -> str:
        """The user id that `identifier`, or an older form of it, names, with or without its domain. It need not exist.

        403 `M_FORBIDDEN` for users of other servers and for third-party identifiers that nobody here has.
        """
        identifier = body.get("identifier")
        if identifier is None:
            if "user" not in body and ("medium" in body or "address" in body):
                return await self._with_threepid(body)
            return _user_id(body.get("user"), self._server_name)
        if not isinstance(identifier, dict):
            raise bad_json("`identifier` must be an object")
        kind = identifier.get("type")
        if kind == "m.id.user":
            return _user_id(identifier.get("user"), self._server_name)
        if kind == "m.id.thirdparty" or (kind is None and "medium" in identifier):
            return await self._with_threepid(identifier)
        if kind == "m.id.phone":
            raise _unknown_third_party_identifier()  # no account has a phone number
        if kind is None:
            raise missing_param("`identifier.type` is missing")
        raise MatrixError(400, "M_UNKNOWN", "Unknown type of user identifier")

    async def _with_threepid(self, identifier: dict[str, Any]) -> str:
        medium, address = identifier.get("medium"), identifier.get("address")
        if not isinstance(medium, str) or not isinstance(address, str):
            raise bad_json("`medium` and `address` must be strings")
        found = await user_of_threepid(self._db, medium, canonical_address(address))
        if found is None:
            raise _unknown_third_party_identifier()
        return found


def wrong_credentials() -> MatrixError:
    """One error for all that can be wrong, so that nobody learns which users exist."""
    return forbidden("Invalid user name or password")


def _user_id(user: object, server_name: str) -> str:
    if user is None:
        raise missing_param("The user is missing")
    if not isinstance(user, str):
        raise bad_json("The user must be a string")
    localpart, _, domain = user[1:].partition(":") if user.startswith("@") else (user, "", server_name)
    user_id = f"@{localpart}:{server_name}"
    if domain != server_name or not is_short(user_id):
        raise wrong_credentials()
    return user_id


def _unknown_third_party_identifier() -> MatrixError:
    return forbidden("No account has this third-party identifier")
