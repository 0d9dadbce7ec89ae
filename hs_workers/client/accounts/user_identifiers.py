"""Whom a login or an authentication stage names.

Spec: client-server API, #identifier-types.
"""

from typing import Any

from hs_common.matrix.errors import MatrixError, bad_json, forbidden, missing_param
from hs_common.matrix.identifiers import is_short


def named_user(body: dict[str, Any], server_name: str) -> str:
    """The user id that `identifier`, or the old `user`, names, with or without its domain. It need not exist.

    403 `M_FORBIDDEN` for users of other servers and for third-party identifiers, since none is known here.
    """
    identifier = body.get("identifier")
    if identifier is None:
        if "user" not in body and ("medium" in body or "address" in body):
            raise _unknown_third_party_identifier()
        return _user_id(body.get("user"), server_name)
    if not isinstance(identifier, dict):
        raise bad_json("`identifier` must be an object")
    kind = identifier.get("type")
    if kind == "m.id.user":
        return _user_id(identifier.get("user"), server_name)
    if kind in ("m.id.thirdparty", "m.id.phone") or (kind is None and "medium" in identifier):
        raise _unknown_third_party_identifier()
    if kind is None:
        raise missing_param("`identifier.type` is missing")
    raise MatrixError(400, "M_UNKNOWN", "Unknown type of user identifier")


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
