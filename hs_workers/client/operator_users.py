"""Accounts, as the operator looks after them. For `viaduct admin users`.

Not in the specification: who calls proves that he knows the server's shared secret.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.storage.queries import Queries
from hs_common.storage.user_administration import UserFilter, admin_users
from hs_workers.client.accounts.administration import UserAdministration, listed

USERS_LIMIT: Final = 10_000
"""On one list; who has more users gives a part of their name."""
_PATH: Final = "/_viaduct/admin/v1/users"


class _Wanted(msgspec.Struct):
    name: str = ""
    deactivated: bool = False
    admins: bool = False


class _State(msgspec.Struct):
    locked: bool | None = None
    suspended: bool | None = None
    admin: bool | None = None


class _Password(msgspec.Struct):
    password: str
    logout_devices: bool = True


class _End(msgspec.Struct):
    erase: bool = False


class OperatorUsers:
    """`secret` is the config's shared one; `now_ms` is the time of day."""

    def __init__(self, db: Queries, users: UserAdministration, secret: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._users = users
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("POST", f"{_PATH}/list", auth=Auth.NONE, spec="Viaduct's own administration")
    async def list_all(self, request: Request) -> Reply:
        """Accounts, by name."""
        self._check(request)
        wanted = request.body(_Wanted, optional=True)
        filtered = UserFilter(
            name=wanted.name,
            deactivated=None if wanted.deactivated else False,
            admins=True if wanted.admins else None,
        )
        return {"users": [listed(user) for user in await admin_users(self._db, filtered, limit=USERS_LIMIT)]}

    @endpoint("GET", f"{_PATH}/{{userId}}", auth=Auth.NONE, spec="Viaduct's own administration")
    async def get(self, request: Request) -> Reply:
        """One account."""
        self._check(request)
        return await self._users.described(request.path["userId"])

    @endpoint("PUT", f"{_PATH}/{{userId}}/state", auth=Auth.NONE, spec="Viaduct's own administration")
    async def set_state(self, request: Request) -> Reply:
        """Locks, suspends, makes an administrator; or ends that."""
        self._check(request)
        state = request.body(_State)
        user = await self._users.known(request.path["userId"])
        if user.deactivated:
            raise invalid_param("The account is deactivated")
        await self._users.set_state(user.user_id, locked=state.locked, suspended=state.suspended, admin=state.admin)
        return await self._users.described(user.user_id)

    @endpoint("PUT", f"{_PATH}/{{userId}}/password", auth=Auth.NONE, spec="Viaduct's own administration")
    async def set_password(self, request: Request) -> Reply:
        """A new password."""
        self._check(request)
        body = request.body(_Password)
        user = await self._users.known(request.path["userId"])
        if user.deactivated:
            raise invalid_param("The account is deactivated")
        await self._users.set_password(user.user_id, body.password, logout_devices=body.logout_devices)
        return {}

    @endpoint("POST", f"{_PATH}/{{userId}}/deactivate", auth=Auth.NONE, spec="Viaduct's own administration")
    async def deactivate(self, request: Request) -> Reply:
        """Ends the account."""
        self._check(request)
        erase = request.body(_End, optional=True).erase
        user = await self._users.known(request.path["userId"])
        await self._users.deactivate(user.user_id, erase=erase)
        return {}

    def _check(self, request: Request) -> None:
        check_proof(self._secret, request, self._now_ms())
