"""Administering accounts, at the paths and in the forms that administration tools use.

Not in the specification. Every endpoint is for administrators of this server alone.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param
from hs_common.storage import room_members
from hs_common.storage.devices import device, devices_of
from hs_common.storage.queries import Queries
from hs_common.storage.user_administration import (
    ORDERS,
    UserFilter,
    admin_user,
    admin_users,
    count_admin_users,
)
from hs_common.version import VERSION
from hs_workers.client.accounts.administration import PROFILE_FIELDS, UserAdministration, listed
from hs_workers.client.accounts.json_fields import boolean
from hs_workers.client.accounts.registering import Usernames

PAGE_LIMIT: Final = 1_000


class _Threepid(msgspec.Struct):
    medium: str
    address: str


class _ExternalId(msgspec.Struct):
    auth_provider: Annotated[str, msgspec.Meta(max_length=64)]
    external_id: Annotated[str, msgspec.Meta(max_length=255)]


class _Change(msgspec.Struct):
    password: str | None = None
    logout_devices: bool = True
    displayname: str | None = None
    avatar_url: str | None = None
    admin: bool | None = None
    locked: bool | None = None
    suspended: bool | None = None
    deactivated: bool | None = None
    threepids: list[_Threepid] | None = None
    external_ids: list[_ExternalId] | None = None


class _Password(msgspec.Struct):
    new_password: str
    logout_devices: bool = True


class _Devices(msgspec.Struct):
    devices: list[str]


class UserAdministrationEndpoints:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, users: UserAdministration, usernames: Usernames, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._users = users
        self._usernames = usernames
        self._now_ms = now_ms

    @endpoint("GET", "/_synapse/admin/v1/server_version", auth=Auth.ADMIN, reads=False, spec="Synapse's admin API")
    async def server_version(self, request: Request) -> Reply:
        """Which program this is."""
        return {"server_version": f"Viaduct {VERSION}", "python_version": ""}

    @endpoint("GET", "/_synapse/admin/v2/users", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def list_all(self, request: Request) -> Reply:
        """A page of all accounts."""
        query = request.query
        order = query.string("order_by", "name")
        if order not in ORDERS:
            raise invalid_param(f"`order_by` must be one of {', '.join(ORDERS)}")
        direction = query.string("dir", "f")
        if direction not in ("f", "b"):
            raise invalid_param("`dir` must be f or b")
        start = query.integer("from", 0, minimum=0)
        limit = query.integer("limit", 100, minimum=0, maximum=PAGE_LIMIT)
        wanted = UserFilter(
            name=query.string("name", ""),
            user_id=query.string("user_id", ""),
            guests=None if query.boolean("guests", True) else False,
            deactivated=None if query.boolean("deactivated", False) else False,
            locked=None if query.boolean("locked", True) else False,
            admins=query.boolean("admins"),
        )
        found = await admin_users(self._db, wanted, order=order, backwards=direction == "b", start=start, limit=limit)
        total = await count_admin_users(self._db, wanted)
        answer: dict[str, Any] = {"users": [listed(user) for user in found], "total": total}
        if start + len(found) < total:
            answer["next_token"] = str(start + len(found))
        return answer

    @endpoint("GET", "/_synapse/admin/v2/users/{userId}", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def get(self, request: Request) -> Reply:
        """One account."""
        return await self._users.described(request.path["userId"])

    @endpoint("PUT", "/_synapse/admin/v2/users/{userId}", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def put(self, request: Request) -> Reply:
        """Makes or changes an account: 201 or 200."""
        user_id = self._users.check_local(request.path["userId"])
        change = request.body(_Change)
        is_own = user_id == request.requester.user_id
        if is_own and (change.admin is False or change.deactivated or change.locked or change.suspended):
            raise forbidden("You cannot do this to your own account")
        is_new = await admin_user(self._db, user_id) is None
        if is_new:
            await self._users.make(user_id, change.password, bool(change.admin))
        elif change.password is not None:
            await self._users.set_password(user_id, change.password, logout_devices=change.logout_devices)
        await self._change(user_id, change, is_new=is_new)
        return Response(201 if is_new else 200, await self._users.described(user_id))

    async def _change(self, user_id: str, change: _Change, *, is_new: bool) -> None:
        """What is the same for old and new accounts."""
        admin = None if is_new else change.admin
        await self._users.set_state(user_id, admin=admin, locked=change.locked, suspended=change.suspended)
        for field in PROFILE_FIELDS:
            value = getattr(change, field)
            if value is not None:
                await self._users.set_profile(user_id, field, value)
        if change.threepids is not None:
            wanted = [(one.medium, one.address) for one in change.threepids]
            await self._users.set_threepids(user_id, wanted, self._now_ms())
        if change.external_ids is not None:
            ties = [(one.auth_provider, one.external_id) for one in change.external_ids]
            await self._users.set_external_ids(user_id, ties)
        if change.deactivated:
            await self._users.deactivate(user_id, erase=False)
        elif change.deactivated is False and (await self._users.known(user_id)).deactivated:
            raise invalid_param("Accounts that were deactivated stay so")

    @endpoint("POST", "/_synapse/admin/v1/deactivate/{userId}", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def deactivate(self, request: Request) -> Reply:
        """Ends an account."""
        user_id = (await self._users.known(request.path["userId"])).user_id
        erase = boolean(request.json(optional=True), "erase")
        is_unbound = await self._users.deactivate(user_id, erase=erase)
        return {"id_server_unbind_result": "success" if is_unbound else "no-support"}

    @endpoint("POST", "/_synapse/admin/v1/reset_password/{userId}", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def reset_password(self, request: Request) -> Reply:
        """Sets a password."""
        body = request.body(_Password)
        user = await self._users.known(request.path["userId"])
        if user.deactivated:
            raise invalid_param("The account is deactivated")
        await self._users.set_password(user.user_id, body.new_password, logout_devices=body.logout_devices)
        return {}

    @endpoint("GET", "/_synapse/admin/v1/users/{userId}/admin", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def is_admin(self, request: Request) -> Reply:
        """Whether the user is an administrator."""
        return {"admin": (await self._users.known(request.path["userId"])).admin}

    @endpoint("PUT", "/_synapse/admin/v1/users/{userId}/admin", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def set_admin(self, request: Request) -> Reply:
        """Makes the user one, or ends that."""
        user_id = (await self._users.known(request.path["userId"])).user_id
        is_admin = boolean(request.json(), "admin")
        if user_id == request.requester.user_id and not is_admin:
            raise forbidden("You cannot do this to your own account")
        await self._users.set_state(user_id, admin=is_admin)
        return {}

    @endpoint("PUT", "/_synapse/admin/v1/suspend/{userId}", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def suspend(self, request: Request) -> Reply:
        """Suspends the account, or ends that."""
        user_id = (await self._users.known(request.path["userId"])).user_id
        is_suspended = boolean(request.json(), "suspend")
        await self._users.set_state(user_id, suspended=is_suspended)
        return {f"user_{user_id}_suspended": is_suspended}

    @endpoint(
        "GET", "/_synapse/admin/v1/users/{userId}/joined_rooms", auth=Auth.ADMIN, spec="Synapse's admin API, users"
    )
    async def joined_rooms(self, request: Request) -> Reply:
        """Which rooms the user is in; a user that nobody knows is in none."""
        rooms = sorted(await room_members.joined_rooms(self._db, self._users.check_local(request.path["userId"])))
        return {"joined_rooms": rooms, "total": len(rooms)}

    @endpoint("GET", "/_synapse/admin/v1/username_available", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def username_available(self, request: Request) -> Reply:
        """Whether an account could be called that."""
        await self._usernames.check_free(request.query.string("username"))
        return {"available": True}

    @endpoint("GET", "/_synapse/admin/v2/users/{userId}/devices", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def devices(self, request: Request) -> Reply:
        """The user's devices."""
        user_id = (await self._users.known(request.path["userId"])).user_id
        found = [
            {
                "device_id": one.device_id,
                "display_name": one.display_name,
                "last_seen_ip": one.last_seen_ip,
                "last_seen_ts": one.last_seen_ts,
                "user_id": user_id,
            }
            for one in await devices_of(self._db, user_id)
        ]
        return {"devices": found, "total": len(found)}

    @endpoint(
        "DELETE",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        auth=Auth.ADMIN,
        spec="Synapse's admin API, users",
    )
    async def delete_device(self, request: Request) -> Reply:
        """Logs one out."""
        user_id, device_id = (await self._users.known(request.path["userId"])).user_id, request.path["deviceId"]
        if await device(self._db, user_id, device_id) is None:
            raise MatrixError(404, "M_NOT_FOUND", "The user has no such device")
        await self._users.close_sessions(user_id, [device_id])
        return {}

    @endpoint(
        "POST", "/_synapse/admin/v2/users/{userId}/delete_devices", auth=Auth.ADMIN, spec="Synapse's admin API, users"
    )
    async def delete_devices(self, request: Request) -> Reply:
        """Logs several out."""
        body = request.body(_Devices)
        await self._users.close_sessions((await self._users.known(request.path["userId"])).user_id, body.devices)
        return {}
