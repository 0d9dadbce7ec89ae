"""What administrators do to accounts: looking them up, making, changing, locking and ending them.

Knows values only: who may do this, and in which form he asks, is for others.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from hs_common.matrix.errors import MatrixError, invalid_param, not_found
from hs_common.matrix.identifiers import is_user_id
from hs_common.process.password_hasher import PasswordHasher
from hs_common.replication.calls import (
    CloseSessions,
    DeactivateUser,
    SetProfile,
    SetUserState,
)
from hs_common.replication.link_interface import Link
from hs_common.replication.sign_on_calls import ExternalId, SetExternalIds
from hs_common.storage import threepids as stored_threepids
from hs_common.storage.external_ids import external_ids_of
from hs_common.storage.queries import Queries
from hs_common.storage.threepids import Threepid
from hs_common.storage.user_administration import AdminUser, admin_user
from hs_workers.client.accounts.passwords import PasswordRules, Passwords
from hs_workers.client.accounts.profile_fields import AVATAR_URL, DISPLAY_NAME, field_value
from hs_workers.client.accounts.registering import Registering
from hs_workers.client.accounts.threepids import Threepids, canonical

PROFILE_FIELDS: Final = (DISPLAY_NAME, AVATAR_URL)


class UserAdministration:
    """The operations."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        server_name: str,
        passwords: Passwords,
        rules: PasswordRules,
        hasher: PasswordHasher,
        registering: Registering,
        threepids: Threepids,
    ) -> None:
        self._db = db
        self._master = master
        self._server_name = server_name
        self._passwords = passwords
        self._rules = rules
        self._hasher = hasher
        self._registering = registering
        self._threepids = threepids

    def check_local(self, user_id: str) -> str:
        """The id of a user of this server. 400 `M_INVALID_PARAM`."""
        if not is_user_id(user_id) or user_id.partition(":")[2] != self._server_name:
            raise invalid_param("The user does not belong to this server")
        return user_id

    async def known(self, user_id: str) -> AdminUser:
        """The account. 400 `M_INVALID_PARAM`, 404 `M_NOT_FOUND`."""
        found = await admin_user(self._db, self.check_local(user_id))
        if found is None:
            raise not_found("There is no such user")
        return found

    async def described(self, user_id: str) -> dict[str, Any]:
        """All that is to be said of an account, as tools expect it."""
        user = await self.known(user_id)
        threepids = await stored_threepids.threepids_of(self._db, user_id)
        return {
            **listed(user),
            "threepids": [
                {
                    "medium": one.medium,
                    "address": one.address,
                    "added_at": one.added_at_ms,
                    "validated_at": one.validated_at_ms,
                }
                for one in threepids
            ],
            "external_ids": [
                {"auth_provider": provider, "external_id": subject}
                for provider, subject in await external_ids_of(self._db, user_id)
            ],
            "appservice_id": user.appservice_id,
            "consent_server_notice_sent": None,
            "consent_version": None,
            "consent_ts": None,
        }

    async def make(self, user_id: str, password: str | None, is_admin: bool) -> None:
        """An account without a session. 400 `M_INVALID_USERNAME`, `M_EXCLUSIVE`, `M_USER_IN_USE`."""
        password_hash = None if password is None else await self._hashed(password)
        await self._registering.user(self._localpart(user_id), password_hash, None, admin=is_admin)

    async def set_password(self, user_id: str, password: str, *, logout_devices: bool) -> None:
        """A new password. It may be shorter than users' own must be."""
        self._rules.check_length(password)
        await self._passwords.set(user_id, password)
        if logout_devices:
            await self._master.call(CloseSessions(user_id=user_id, device_ids=None))

    async def set_state(
        self, user_id: str, *, locked: bool | None = None, suspended: bool | None = None, admin: bool | None = None
    ) -> None:
        """Flags; None leaves one as it is."""
        if (locked, suspended, admin) != (None, None, None):
            call = SetUserState(user_id=user_id, locked=locked, suspended=suspended, admin=admin)
            await self._master.call(call)

    async def set_profile(self, user_id: str, field: str, value: str) -> None:
        """One of PROFILE_FIELDS; an empty one is removed."""
        await self._master.call(SetProfile(user_id=user_id, field=field, value=field_value(field, {field: value})))

    async def set_threepids(self, user_id: str, wanted: Iterable[tuple[str, str]], now_ms: int) -> None:
        """The user has these (medium, address) and no others. 400 `M_THREEPID_IN_USE`."""
        asked = {(medium, canonical(medium, address)) for medium, address in wanted}
        present = await stored_threepids.threepids_of(self._db, user_id)
        for one in present:
            if (one.medium, one.address) not in asked:
                await self._threepids.delete(user_id, one.medium, one.address, None)
        for medium, address in sorted(asked - {(one.medium, one.address) for one in present}):
            if not await stored_threepids.add_threepid(self._db, user_id, Threepid(medium, address, now_ms, now_ms)):
                raise MatrixError(400, "M_THREEPID_IN_USE", f"Another account has {address}")

    async def set_external_ids(self, user_id: str, wanted: Iterable[tuple[str, str]]) -> None:
        """The user signs on as these (provider, subject) and no others. 409 `M_UNKNOWN` for somebody else's."""
        asked, present = set(wanted), set(await external_ids_of(self._db, user_id))
        if asked == present:
            return
        added = [ExternalId(*one) for one in sorted(asked - present)]
        removed = [ExternalId(*one) for one in sorted(present - asked)]
        try:
            await self._master.call(SetExternalIds(user_id=user_id, added=added, removed=removed))
        except MatrixError as error:
            if error.errcode == "M_USER_IN_USE":
                raise MatrixError(409, "M_UNKNOWN", error.error) from error
            raise

    async def deactivate(self, user_id: str, *, erase: bool) -> bool:
        """Ends the account; whether all its identifiers were taken back from where they were published."""
        is_unbound = await self._threepids.unbind_all(user_id)
        await self._master.call(DeactivateUser(user_id=user_id, erase=erase))
        await self._threepids.forget_all(user_id)
        return is_unbound

    async def close_sessions(self, user_id: str, device_ids: list[str]) -> None:
        """Logs devices out."""
        await self._master.call(CloseSessions(user_id=user_id, device_ids=device_ids))

    async def _hashed(self, password: str) -> str:
        self._rules.check_length(password)
        return await self._hasher.hash(password)

    def _localpart(self, user_id: str) -> str:
        return self.check_local(user_id)[1:].partition(":")[0]


def listed(user: AdminUser) -> dict[str, Any]:
    """An account in a list, as tools expect it."""
    return {
        "name": user.user_id,
        "displayname": None if user.displayname is None else orjson.loads(user.displayname),
        "avatar_url": None if user.avatar_url is None else orjson.loads(user.avatar_url),
        "is_guest": user.is_guest,
        "admin": user.admin,
        "user_type": None,
        "deactivated": user.deactivated,
        "erased": user.erased,
        "shadow_banned": False,
        "locked": user.locked,
        "suspended": user.suspended,
        "approved": True,
        "creation_ts": user.created_ts,
        "last_seen_ts": user.last_seen_ts,
    }
