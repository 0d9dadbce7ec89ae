"""What an authentication service asks of this server: accounts and devices as it has them, and what a user confirmed.

Not in the specification: the paths and forms are those that the Matrix Authentication Service calls. Every request
shows the secret that both know.
"""

import hmac
from collections.abc import Callable
from typing import Final

import msgspec
import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden, missing_token, unrecognized
from hs_common.replication.calls import MakeDevice, RenameDevice, SetUserState
from hs_common.replication.link_interface import Link
from hs_common.storage.cross_signing_resets import allow_reset
from hs_common.storage.dehydrated_devices import dehydrated_device
from hs_common.storage.devices import device, devices_of
from hs_common.storage.queries import Queries
from hs_common.storage.sessions import devices_with_tokens
from hs_common.storage.user_administration import admin_user
from hs_workers.client.accounts.administration import UserAdministration
from hs_workers.client.accounts.profile_fields import AVATAR_URL, DISPLAY_NAME
from hs_workers.client.accounts.registering import Usernames

RESET_LIFETIME_MS: Final = 10 * 60 * 1000
"""How long a user has to go on in his client after he confirmed."""


class _Provision(msgspec.Struct):
    localpart: str
    set_displayname: str | None = None
    unset_displayname: bool = False
    set_avatar_url: str | None = None
    unset_avatar_url: bool = False
    set_emails: list[str] | None = None
    unset_emails: bool = False
    locked: bool | None = None


class _Device(msgspec.Struct):
    localpart: str
    device_id: str
    display_name: str | None = None


class _Devices(msgspec.Struct):
    localpart: str
    devices: set[str]


class _Name(msgspec.Struct):
    localpart: str
    displayname: str


class _Localpart(msgspec.Struct):
    localpart: str


class _End(msgspec.Struct):
    localpart: str
    erase: bool = False


class AuthenticationService:
    """`secret` is empty where there is no service. `has_own_sessions`: people log in here as well as there. `now_ms` is
    the time of day."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        users: UserAdministration,
        usernames: Usernames,
        secret: str,
        now_ms: Callable[[], int],
        *,
        has_own_sessions: bool,
    ) -> None:
        self._db = db
        self._master = master
        self._users = users
        self._usernames = usernames
        self._secret = secret
        self._now_ms = now_ms
        self._has_own_sessions = has_own_sessions

    @endpoint("GET", "/_synapse/mas/query_user", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def query_user(self, request: Request) -> Reply:
        """What is known of a user. 404 `M_NOT_FOUND`."""
        self._check(request)
        user = await self._users.known(self._usernames.any_user_id(request.query.string("localpart")))
        return {
            "user_id": user.user_id,
            "display_name": None if user.displayname is None else orjson.loads(user.displayname),
            "avatar_url": None if user.avatar_url is None else orjson.loads(user.avatar_url),
            "is_suspended": user.suspended,
            "is_deactivated": user.deactivated,
        }

    @endpoint("GET", "/_synapse/mas/is_localpart_available", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def is_localpart_available(self, request: Request) -> Reply:
        """400 `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_EXCLUSIVE` if not."""
        self._check(request)
        await self._usernames.check_free(request.query.string("localpart"))
        return {}

    @endpoint("POST", "/_synapse/mas/provision_user", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def provision_user(self, request: Request) -> Reply:
        """Makes the account, or brings it up to date: 201 or 200."""
        self._check(request)
        body = request.body(_Provision)
        user_id = self._usernames.any_user_id(body.localpart)
        is_new = await admin_user(self._db, user_id) is None
        if is_new:
            await self._users.make(user_id, None, False)
        for field, value, unset in (
            (DISPLAY_NAME, body.set_displayname, body.unset_displayname),
            (AVATAR_URL, body.set_avatar_url, body.unset_avatar_url),
        ):
            if value is not None or unset:
                await self._users.set_profile(user_id, field, value or "")
        if body.set_emails is not None or body.unset_emails:
            wanted = [("email", address) for address in body.set_emails or ()]
            await self._users.set_threepids(user_id, wanted, self._now_ms())
        await self._users.set_state(user_id, locked=body.locked)
        return Response(201 if is_new else 200, {})

    @endpoint("POST", "/_synapse/mas/upsert_device", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def upsert_device(self, request: Request) -> Reply:
        """Makes a device, if it is not there: 201 or 200."""
        self._check(request)
        body = request.body(_Device)
        user_id = await self._user_id(body.localpart)
        is_new = await device(self._db, user_id, body.device_id) is None
        if is_new:
            call = MakeDevice(user_id=user_id, device_id=body.device_id, display_name=body.display_name)
            await self._master.call(call)
        return Response(201 if is_new else 200, {})

    @endpoint("POST", "/_synapse/mas/update_device_display_name", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def update_device_display_name(self, request: Request) -> Reply:
        """Renames a device."""
        self._check(request)
        body = request.body(_Device)
        user_id, name = await self._user_id(body.localpart), body.display_name or ""
        await self._master.call(RenameDevice(user_id=user_id, device_id=body.device_id, display_name=name))
        return {}

    @endpoint("POST", "/_synapse/mas/delete_device", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def delete_device(self, request: Request) -> Reply:
        """Ends a device, if it is there."""
        self._check(request)
        body = request.body(_Device)
        await self._users.close_sessions(await self._user_id(body.localpart), [body.device_id])
        return {}

    @endpoint("POST", "/_synapse/mas/sync_devices", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def sync_devices(self, request: Request) -> Reply:
        """The user has these devices, and no others but what the service does not know of."""
        self._check(request)
        body = request.body(_Devices)
        user_id = await self._user_id(body.localpart)
        present = {one.device_id for one in await devices_of(self._db, user_id)}
        ended = present - body.devices - await self._unknown_to_the_service(user_id)
        if ended:
            await self._users.close_sessions(user_id, sorted(ended))
        for device_id in sorted(body.devices - present):
            await self._master.call(MakeDevice(user_id=user_id, device_id=device_id))
        return {}

    @endpoint("POST", "/_synapse/mas/delete_user", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def delete_user(self, request: Request) -> Reply:
        """Ends an account."""
        self._check(request)
        body = request.body(_End)
        await self._users.deactivate(await self._user_id(body.localpart), erase=body.erase)
        return {}

    @endpoint("POST", "/_synapse/mas/reactivate_user", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def reactivate_user(self, request: Request) -> Reply:
        """Brings an account back, without its rooms."""
        self._check(request)
        user_id = await self._user_id(request.body(_Localpart).localpart)
        await self._master.call(SetUserState(user_id=user_id, reactivated=True))
        return {}

    @endpoint("POST", "/_synapse/mas/set_displayname", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def set_displayname(self, request: Request) -> Reply:
        """Sets the display name."""
        self._check(request)
        body = request.body(_Name)
        await self._users.set_profile(await self._user_id(body.localpart), DISPLAY_NAME, body.displayname)
        return {}

    @endpoint("POST", "/_synapse/mas/unset_displayname", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def unset_displayname(self, request: Request) -> Reply:
        """Removes it."""
        self._check(request)
        await self._users.set_profile(await self._user_id(request.body(_Localpart).localpart), DISPLAY_NAME, "")
        return {}

    @endpoint("POST", "/_synapse/mas/allow_cross_signing_reset", auth=Auth.NONE, spec="Synapse's API for MAS")
    async def allow_cross_signing_reset(self, request: Request) -> Reply:
        """The user confirmed that his keys are to be replaced."""
        self._check(request)
        user_id = await self._user_id(request.body(_Localpart).localpart)
        await allow_reset(self._db, user_id, self._now_ms() + RESET_LIFETIME_MS)
        return {}

    async def _unknown_to_the_service(self, user_id: str) -> set[str]:
        """The dehydrated device, which nobody has logged in with, and those that have logged in here."""
        dehydrated = await dehydrated_device(self._db, user_id)
        kept = set() if dehydrated is None else {dehydrated[0]}
        return kept | (await devices_with_tokens(self._db, user_id) if self._has_own_sessions else set())

    async def _user_id(self, localpart: str) -> str:
        """404 `M_NOT_FOUND`."""
        return (await self._users.known(self._usernames.any_user_id(localpart))).user_id

    def _check(self, request: Request) -> None:
        if not self._secret:
            raise unrecognized("This server has no authentication service")
        scheme, _, given = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise missing_token()
        if not hmac.compare_digest(given.strip().encode("latin-1"), self._secret.encode()):
            raise forbidden("The secret of the authentication service is wrong")
