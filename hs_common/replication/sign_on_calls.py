"""Calls about how accounts are used other than by their own password: by people at identity providers, and by
administrators who act as others."""

from typing import Final

import msgspec

from hs_common.replication.call import Call


class ExternalId(msgspec.Struct, frozen=True, array_like=True):
    """Who somebody is at an identity provider."""

    provider_id: str
    subject: str


class SetExternalIds(Call, frozen=True, kw_only=True):
    """Change by whom an account is used.

    Errors: M_NOT_FOUND; M_USER_IN_USE when another account is used by one that is added.
    """

    user_id: str
    added: list[ExternalId] = msgspec.field(default_factory=list)
    removed: list[ExternalId] = msgspec.field(default_factory=list)


class LogInAs(Call, frozen=True, kw_only=True):
    """Let an administrator act as a user: a token (its SHA-256 digest) without a device.

    Errors: M_FORBIDDEN when `admin_id` is not an administrator, or the user has too many such tokens; M_NOT_FOUND;
    M_USER_DEACTIVATED.
    """

    admin_id: str
    user_id: str
    token_hash: bytes
    expires_at_ms: int | None = None


SIGN_ON_CALLS: Final[tuple[type[Call], ...]] = (SetExternalIds, LogInAs)
