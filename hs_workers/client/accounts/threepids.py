"""A user's third-party identifiers: adding confirmed ones, taking them away, publishing them and taking that back.

Spec: client-server API, #adding-account-administrative-contact-information.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twisted.logger import Logger

from hs_common.email.mail import canonical_address
from hs_common.matrix.errors import MatrixError
from hs_common.storage import threepids as stored
from hs_common.storage.queries import Queries
from hs_common.storage.threepid_sessions import ValidationSession
from hs_common.storage.threepids import Threepid
from hs_workers.client.accounts.address_validation import EMAIL, AddressValidation, Purpose
from hs_workers.client.accounts.identity_servers import IdentityServers

_log = Logger()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An identifier that was confirmed, and the session in which it was."""

    session_id: str
    medium: str
    address: str
    validated_at_ms: int

    @classmethod
    def of(cls, session: ValidationSession) -> "Confirmed":
        """From a validated session."""
        assert session.validated_at_ms is not None, "only what is confirmed is used"
        return cls(session.session_id, session.medium, session.address, session.validated_at_ms)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Confirmed":
        """From what `json` gave."""
        return cls(**value)

    def json(self) -> dict[str, Any]:
        """To be kept with a session of an interactive authentication."""
        return asdict(self)


class Threepids:
    """`identity_servers` is None where none is asked. `now_ms` is the time of day."""

    def __init__(
        self,
        db: Queries,
        validation: AddressValidation,
        identity_servers: IdentityServers | None,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._validation = validation
        self._identity_servers = identity_servers
        self._now_ms = now_ms

    async def list_of(self, user_id: str) -> list[Threepid]:
        """All of a user's."""
        return await stored.threepids_of(self._db, user_id)

    async def confirmed(self, session_id: str, client_secret: str) -> Confirmed:
        """The session to add an address by. 400 `M_THREEPID_AUTH_FAILED` while the address is not confirmed."""
        session = await self._validation.validated(session_id, client_secret, Purpose.ADD_ADDRESS)
        if session is None:
            raise MatrixError(
                400, "M_THREEPID_AUTH_FAILED", "The address is not confirmed. Follow the link in the mail first"
            )
        return Confirmed.of(session)

    async def check_free(self, confirmed: Confirmed, user_id: str | None) -> None:
        """400 `M_THREEPID_IN_USE` for an address of another account."""
        owner = await stored.user_of_threepid(self._db, confirmed.medium, confirmed.address)
        if owner not in (None, user_id):
            raise threepid_in_use()

    async def add(self, user_id: str, confirmed: Confirmed) -> None:
        """The confirmed identifier becomes the user's. 400 `M_THREEPID_IN_USE`."""
        added = Threepid(confirmed.medium, confirmed.address, confirmed.validated_at_ms, self._now_ms())
        if not await stored.add_threepid(self._db, user_id, added):
            raise threepid_in_use()
        await self._validation.finished(confirmed.session_id)

    async def delete(self, user_id: str, medium: str, address: str, id_server: str | None) -> bool:
        """Takes it from the user, and back from where it was published; whether that was all."""
        address = canonical(medium, address)
        await stored.delete_threepid(self._db, user_id, medium, address)
        return await self.unbind(user_id, medium, address, id_server)

    async def bind(self, user_id: str, id_server: str, access_token: str, session_id: str, client_secret: str) -> None:
        """Publishes what a session with the identity server has confirmed. 400 `M_SERVER_NOT_TRUSTED`."""
        servers = self._servers()
        medium, address = await servers.bind(id_server, access_token, session_id, client_secret, user_id)
        await stored.add_binding(self._db, user_id, medium, canonical(medium, address), id_server)

    async def unbind(self, user_id: str, medium: str, address: str, id_server: str | None) -> bool:
        """Takes it back from this identity server, or from all where this server knows that it was published; False if
        none is known, or one does not do that."""
        address = canonical(medium, address)
        id_servers = [id_server] if id_server is not None else await self._published_at(user_id, medium, address)
        if not id_servers or self._identity_servers is None:
            return False
        done = [await self._unbind_at(user_id, medium, address, one) for one in id_servers]
        return all(done)

    async def unbind_all(self, user_id: str) -> bool:
        """Takes back all that the user has published, as far as identity servers let it; whether that was all."""
        done = True
        for medium, address, id_server in await stored.bindings_of(self._db, user_id):
            try:
                done = await self._unbind_at(user_id, medium, address, id_server) and done
            except MatrixError as error:
                _log.info("{id_server} does not take back an identifier: {error}", id_server=id_server, error=error)
                done = False
        return done

    async def forget_all(self, user_id: str) -> None:
        """Lets others have the identifiers of an account that has ended."""
        await stored.delete_threepids_of(self._db, user_id)

    async def _unbind_at(self, user_id: str, medium: str, address: str, id_server: str) -> bool:
        if not await self._servers().unbind(id_server, user_id, medium, address):
            return False
        await stored.delete_binding(self._db, user_id, medium, address, id_server)
        return True

    async def _published_at(self, user_id: str, medium: str, address: str) -> list[str]:
        bindings = await stored.bindings_of(self._db, user_id)
        return [id_server for *identifier, id_server in bindings if identifier == [medium, address]]

    def _servers(self) -> IdentityServers:
        if self._identity_servers is None:
            raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "This server uses no identity servers")
        return self._identity_servers


def canonical(medium: str, address: str) -> str:
    """The address as it is stored."""
    return canonical_address(address) if medium == EMAIL else address


def threepid_in_use() -> MatrixError:
    """The identifier is another account's."""
    return MatrixError(400, "M_THREEPID_IN_USE", "Another account has this address already")
