"""Who calls with an application service's token: the service's own user, or one in its namespace that it names.

Rules: a user that the service acts as must exist (the service registers its ghosts), its own user need not. That a user
exists may come from memory, as long as the log is followed closely; that it does not comes from the truth.

Spec: application-service-api/#identity-assertion.
"""

from collections.abc import Callable
from typing import Final

from hs_common.appservices.registry import ServiceRegistry
from hs_common.bounded import Bounded
from hs_common.http.request import Query, Requester
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.storage.devices import device
from hs_common.storage.queries import Queries
from hs_common.storage.shared_reads import SharedReads
from hs_common.storage.users import Account, accounts

REMEMBERED_LIMIT: Final = 100_000
"""Some 20 MiB: ghosts that act, of all services. Whom we forgot costs a query."""
DEVICE_NAMES: Final = ("device_id", "org.matrix.msc3202.device_id")


class ServiceRequesters:
    """`AppServices` as authentication asks for it."""

    def __init__(self, db: Queries, registry: ServiceRegistry, is_fresh: Callable[[], bool]) -> None:
        self._db = db
        self._registry = registry
        self._is_fresh = is_fresh
        self._accounts = Bounded[str, Account](REMEMBERED_LIMIT)
        self._reads = SharedReads[str, Account](lambda user_ids: accounts(db, user_ids))
        self._changes = 0
        registry.when_changed(self.void)

    async def requester(self, token_hash: bytes, query: Query) -> Requester | None:
        """See `hs_common.http.authentication.AppServices`."""
        service = await self._registry.of_token(token_hash)
        if service is None:
            return None
        user_id = query.string("user_id", None) or service.sender
        if not service.has_user(user_id):
            raise forbidden(f"The application service cannot act as {user_id}")
        found = await self._account(user_id)
        if found is None and user_id != service.sender:
            raise forbidden(f"The application service has not registered {user_id}")
        if found is not None and found.deactivated:
            raise MatrixError(403, "M_USER_DEACTIVATED", f"The account {user_id} has been deactivated")
        return Requester(
            user_id=user_id,
            device_id=await self._device_id(user_id, query),
            token_hash=token_hash,
            app_service_id=service.id,
            locked=found is not None and found.locked,
            suspended=found is not None and found.suspended,
            admin=found is not None and found.admin and user_id == service.sender,
        )

    def forget_user(self, user_id: str) -> None:
        """The account has changed."""
        self._changes += 1
        self._accounts.pop(user_id, None)

    def made(self, user_id: str, locked: bool, suspended: bool, deactivated: bool) -> None:
        """An account was made: a ghost acts as soon as it is there. Of a service's own user this does not say all."""
        self.forget_user(user_id)
        services = self._registry.known
        if not self._accounts or any(one.sender == user_id for one in services):
            return  # no service acts here, so there is nobody to remember for
        if services.interested_in_user(user_id):
            self._remember(Account(user_id, None, False, False, locked, suspended, deactivated, False))

    def void(self) -> None:
        """Part of the log was skipped, or services are others: nothing remembered can be relied on."""
        self._changes += 1
        self._accounts.clear()

    async def _account(self, user_id: str) -> Account | None:
        remembered = self._accounts.get(user_id) if self._is_fresh() else None
        if remembered is not None:
            return remembered
        changes = self._changes
        found = await self._reads.read(user_id)
        if found is not None and changes == self._changes and self._is_fresh():
            self._remember(found)
        return found

    def _remember(self, account: Account) -> None:
        self._accounts[account.user_id] = account

    async def _device_id(self, user_id: str, query: Query) -> str | None:
        for name in DEVICE_NAMES:
            device_id = query.string(name, None)
            if device_id:
                if "\0" in device_id or await device(self._db, user_id, device_id) is None:
                    raise MatrixError(400, "M_UNKNOWN_DEVICE", f"{user_id} has no device {device_id[:64]!r}")
                return device_id
        return None
