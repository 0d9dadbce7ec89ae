"""Making accounts: by clients, for guests, and by tools that know the shared secret.

Spec: client-server API, #legacy-account-registration.
"""

from typing import Any, Final

from hs_common.appservices.registry import ServiceRegistry
from hs_common.matrix.appservice import Service
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import new_user_id
from hs_common.replication.calls import NewSession, RegisterUser, UpgradeGuest
from hs_common.replication.link_interface import Link
from hs_common.replication.sign_on_calls import ExternalId
from hs_common.storage.queries import Queries
from hs_common.storage.users import account
from hs_workers.client.accounts.service_accounts import check_in_namespace
from hs_workers.client.accounts.tokens import DeviceWish, Tokens

ATTEMPTS_LIMIT: Final = 5
"""Names that we make up are random; that five in a row are taken means that something else is wrong."""


class Usernames:
    """Which names are free, and which application services have reserved."""

    def __init__(self, db: Queries, server_name: str, services: ServiceRegistry) -> None:
        self._db = db
        self._server_name = server_name
        self._services = services

    def user_id(self, localpart: str) -> str:
        """The id of a user to be made. 400 `M_INVALID_USERNAME` or `M_EXCLUSIVE`."""
        user_id = new_user_id(localpart, self._server_name)
        if self._services.is_reserved(user_id):
            raise MatrixError(400, "M_EXCLUSIVE", "This user name is reserved by an application service")
        return user_id

    def any_user_id(self, localpart: str) -> str:
        """The same for who may have reserved ones too."""
        return new_user_id(localpart, self._server_name)

    async def check_free(self, localpart: str) -> str:
        """The user id. Also 400 `M_USER_IN_USE`, for names of deactivated accounts too."""
        await self._services.services()
        user_id = self.user_id(localpart)
        if await account(self._db, user_id) is not None:
            raise user_in_use()
        return user_id


def user_in_use() -> MatrixError:
    """The name is somebody's already."""
    return MatrixError(400, "M_USER_IN_USE", "The user name is already taken")


class Registering:
    """Makes accounts, and a first session where one is wanted. Answers what the client is told."""

    def __init__(self, master: Link, usernames: Usernames, tokens: Tokens) -> None:
        self._master = master
        self._usernames = usernames
        self._tokens = tokens

    async def user(
        self,
        localpart: str | None,
        password_hash: str | None,
        wish: DeviceWish | None,
        *,
        admin: bool = False,
        profile: dict[str, bytes] | None = None,
        consent: str | None = None,
        external_id: ExternalId | None = None,
    ) -> dict[str, Any]:
        """An account of this name, or of one made up; with a session unless `wish` is None."""
        if localpart is not None:
            user_id = self._usernames.user_id(localpart)
            given = {"admin": admin, "profile": profile or {}, "consent": consent, "external_id": external_id}
            return await self._register(user_id, wish, password_hash=password_hash, **given)
        return await self._with_any_name(wish, password_hash=password_hash, consent=consent)

    async def service_user(self, localpart: str, service: Service, wish: DeviceWish | None) -> dict[str, Any]:
        """A user in a service's namespace. 400 `M_INVALID_USERNAME`, `M_EXCLUSIVE` or `M_USER_IN_USE`."""
        user_id = self._usernames.any_user_id(localpart)
        check_in_namespace(service, user_id)
        return await self._register(user_id, wish, password_hash=None, appservice_id=service.id)

    async def upgrade(self, user_id: str, password_hash: str, wish: DeviceWish | None) -> dict[str, Any]:
        """An account of a guest, who keeps his name.

        https://spec.matrix.org/v1.19/client-server-api/#guest-access
        """
        opened = None if wish is None else self._tokens.session(wish)
        session = None if opened is None else opened.session
        await self._master.call(UpgradeGuest(user_id=user_id, password_hash=password_hash, session=session))
        return {"user_id": user_id, **({} if opened is None else opened.answer)}

    async def guest(self, display_name: str | None) -> dict[str, Any]:
        """A guest, whose name and device the server chooses.

        https://spec.matrix.org/v1.19/client-server-api/#guest-access
        """
        return await self._with_any_name(DeviceWish(display_name=display_name), password_hash=None, is_guest=True)

    async def _with_any_name(self, wish: DeviceWish | None, **account: Any) -> dict[str, Any]:
        for _ in range(ATTEMPTS_LIMIT - 1):
            try:
                return await self._register(self._usernames.user_id(self._tokens.new_localpart()), wish, **account)
            except MatrixError as error:
                if error.errcode not in ("M_USER_IN_USE", "M_EXCLUSIVE"):
                    raise
        return await self._register(self._usernames.user_id(self._tokens.new_localpart()), wish, **account)

    async def _register(self, user_id: str, wish: DeviceWish | None, **account: Any) -> dict[str, Any]:
        session: NewSession | None = None
        answer: dict[str, Any] = {"user_id": user_id}
        if wish is not None:
            opened = self._tokens.session(wish)
            session = opened.session
            answer |= opened.answer
        await self._master.call(RegisterUser(user_id=user_id, session=session, **account))
        return answer
