"""What administrators ask about and do to accounts: whose devices are where, locking, suspending.

Rules: whether the caller may ask comes before whether there is such a user. Administrators do nothing to each other
here, nor to themselves.

Spec: client-server API, #server-administration, #account-moderation.
"""

from typing import Any, Final, Literal

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden, invalid_param, missing_param, not_found
from hs_common.matrix.identifiers import is_user_id
from hs_common.replication.calls import SetUserState
from hs_common.replication.link_interface import Link
from hs_common.storage.devices import sights_of
from hs_common.storage.queries import Queries
from hs_common.storage.users import Account, account

WHOIS: Final = "/_matrix/client/v3/admin/whois/{userId}"
_Flag = Literal["locked", "suspended"]


class Whois:
    """Where a user's devices were last seen; users may ask about themselves."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    @endpoint(
        "GET",
        WHOIS,
        auth=Auth.USER,
        aliases=(r0, "/_synapse/admin/v1/whois/{userId}"),
        spec="client-server-api/#get_matrixclientv3adminwhoisuserid",
    )
    async def whois(self, request: Request) -> Reply:
        """The user's devices, each with its last address."""
        user_id, requester = request.path["userId"], request.requester
        if not requester.admin and requester.user_id != user_id:
            raise forbidden("Only an administrator of this server can ask about others")
        await known_account(self._db, user_id, self._server_name)
        devices: dict[str, Any] = {}
        for seen in await sights_of(self._db, user_id):
            connection = {"ip": seen.ip, "last_seen": seen.ts, "user_agent": seen.user_agent}
            devices[seen.device_id] = {"sessions": [{"connections": [connection]}]}
        return {"user_id": user_id, "devices": devices}


class AccountModeration:
    """Locks and suspends accounts, effective on every worker at once."""

    def __init__(self, db: Queries, master: Link, server_name: str) -> None:
        self._db = db
        self._master = master
        self._server_name = server_name

    @endpoint(
        "GET",
        "/_matrix/client/v1/admin/lock/{userId}",
        auth=Auth.ADMIN,
        spec="client-server-api/#get_matrixclientv1adminlockuserid",
    )
    async def is_locked(self, request: Request) -> Reply:
        """Whether the account is locked."""
        return {"locked": (await self._target(request)).locked}

    @endpoint(
        "PUT",
        "/_matrix/client/v1/admin/lock/{userId}",
        auth=Auth.ADMIN,
        spec="client-server-api/#put_matrixclientv1adminlockuserid",
    )
    async def lock(self, request: Request) -> Reply:
        """Locks or unlocks it."""
        return await self._set(request, "locked")

    @endpoint(
        "GET",
        "/_matrix/client/v1/admin/suspend/{userId}",
        auth=Auth.ADMIN,
        spec="client-server-api/#get_matrixclientv1adminsuspenduserid",
    )
    async def is_suspended(self, request: Request) -> Reply:
        """Whether the account is suspended."""
        return {"suspended": (await self._target(request)).suspended}

    @endpoint(
        "PUT",
        "/_matrix/client/v1/admin/suspend/{userId}",
        auth=Auth.ADMIN,
        spec="client-server-api/#put_matrixclientv1adminsuspenduserid",
    )
    async def suspend(self, request: Request) -> Reply:
        """Suspends it, or ends that."""
        return await self._set(request, "suspended")

    async def _set(self, request: Request, flag: _Flag) -> Reply:
        body = request.json()
        wanted = body.get(flag)
        if wanted is None:
            raise missing_param(f"`{flag}` is missing")
        if not isinstance(wanted, bool):
            raise bad_json(f"`{flag}` must be a boolean")
        target = await self._target(request)
        if getattr(target, flag) != wanted:
            if flag == "locked":
                await self._master.call(SetUserState(user_id=target.user_id, locked=wanted))
            else:
                await self._master.call(SetUserState(user_id=target.user_id, suspended=wanted))
        return {flag: wanted}

    async def _target(self, request: Request) -> Account:
        user_id = request.path["userId"]
        if user_id == request.requester.user_id:
            raise forbidden("You cannot do this to your own account")
        target = await known_account(self._db, user_id, self._server_name)
        if target.deactivated:
            raise not_found("There is no such user")
        if target.admin:
            raise forbidden("The user is an administrator of this server")
        return target


async def known_account(db: Queries, user_id: str, server_name: str) -> Account:
    """A local account. 400 `M_INVALID_PARAM` for other servers' users, 404 `M_NOT_FOUND` if there is none."""
    if not is_user_id(user_id) or user_id.partition(":")[2] != server_name:
        raise invalid_param("The user does not belong to this server")
    found = await account(db, user_id)
    if found is None:
        raise not_found("There is no such user")
    return found
