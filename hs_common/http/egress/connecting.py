"""Opens a connection to exactly an address that the policy has judged.

Rules: the name is resolved here and nowhere later, so that no second answer of a name server is ever connected to (DNS
rebinding). Addresses are tried one after the other. Where an operator has named the place, the policy is not asked.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.protocol import Protocol

from hs_common.http.egress.failures import NotAllowed, NotConnected, NotTrusted
from hs_common.http.egress.policy import EgressPolicy
from hs_common.http.egress.resolving import Resolver
from hs_common.http.egress.trust import Trust

ADDRESSES_TRIED: Final = 4
"""Large services have two of each family; more would only take time."""
ADDRESS_TIMEOUT_S: Final = 5.0
"""For each address: two lost packets are repeated within it."""

_Connection = TypeVar("_Connection", bound=Protocol)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. `tls_name` is the name (or address) that the certificate must have; None: without TLS. With
    `is_vouched` an operator has named the place, so the policy is not asked. Without `is_verified` any certificate will
    do, as in tests."""

    host: str
    port: int
    tls_name: str | None
    is_vouched: bool = False
    is_verified: bool = True


class Connector:
    """Opens connections."""

    def __init__(self, reactor: Any, resolver: Resolver, policy: EgressPolicy, trust: Trust) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._policy = policy
        self._trust = trust
        self._blind_trust: Trust | None = None

    async def connect(self, target: Target, connection: _Connection) -> _Connection:
        """The connection, given its transport. Raises NotResolved, NotAllowed, NotConnected, NotTrusted."""
        last: Exception | None = None
        for address in (await self._addresses(target))[:ADDRESSES_TRIED]:
            endpoint = self._endpoint(address, target)
            try:
                await connectProtocol(endpoint, connection)
            except ConnectingCancelledError as error:
                raise CancelledError from error
            except ConnectError as error:
                last = error
            except (SSL.Error, UnicodeError) as error:
                raise NotTrusted(f"{target.host}: {error}") from error
            else:
                return connection
        raise NotConnected(f"{target.host} port {target.port}: {last}") from last

    async def _addresses(self, target: Target) -> list[str]:
        found = await self._resolver.addresses(target.host)
        allowed = [address for address in found if target.is_vouched or self._policy.allows(address)]
        if not allowed:
            raise NotAllowed(f"{target.host} has only addresses that egress.allow does not name, such as {found[0]}")
        return allowed

    def _endpoint(self, address: str, target: Target) -> Any:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint: Any = kind(self._reactor, address, target.port, timeout=ADDRESS_TIMEOUT_S)
        if target.tls_name is None:
            return endpoint
        creator: Any = self._trust_in(target).expecting(target.tls_name)  # zope's interfaces are no types
        return wrapClientTLS(creator, endpoint)

    def _trust_in(self, target: Target) -> Trust:
        if target.is_verified:
            return self._trust
        if self._blind_trust is None:
            self._blind_trust = Trust(verify=False)
        return self._blind_trust
