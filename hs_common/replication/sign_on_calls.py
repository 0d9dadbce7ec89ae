"""Calls about the people at identity providers by whom accounts are used."""

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


SIGN_ON_CALLS: Final[tuple[type[Call], ...]] = (SetExternalIds,)
