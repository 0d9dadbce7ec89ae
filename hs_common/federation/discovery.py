"""From a server's name to where it is: the steps of the specification, in its order.

Rules: the certificate must be for the name that the domain's owner controls, never for what DNS alone says. Where the
operator has said where a server is, nobody is asked.

Spec: server-server API, #resolving-server-names.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from hs_common.federation.srv import ServiceLookup, in_order
from hs_common.federation.well_known import WellKnown
from hs_common.http.egress.connecting import Target
from hs_common.http.egress.names import is_address, split_port
from hs_common.matrix.identifiers import is_server_name

DEFAULT_PORT: Final = 8448
PLACES_LIMIT: Final = 4
"""Of the places that SRV records name; each that does not answer takes some seconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server may be reached, and the Host header to say there."""

    target: Target
    host: str


def parse_overrides(pairs: Iterable[str]) -> dict[str, Place]:
    """Places by server name, of `name=host:port`. Raises ValueError."""
    places = {}
    for pair in pairs:
        name, equals, where = pair.partition("=")
        if not equals or not is_server_name(name):
            raise ValueError(f"{pair!r} is not name=host:port")
        host, port = split_port(where)
        if not host:
            raise ValueError(f"{pair!r} names no host")
        tls_name = split_port(name)[0]
        places[name] = Place(Target(host, port or DEFAULT_PORT, tls_name, is_vouched=True), name)
    return places


class Discovery:
    """Finds servers. `random` gives numbers in [0, 1)."""

    def __init__(
        self,
        well_known: WellKnown,
        services: ServiceLookup,
        random: Callable[[], float],
        overrides: dict[str, Place] | None = None,
        *,
        verify: bool = True,
    ) -> None:
        self._well_known = well_known
        self._services = services
        self._random = random
        self._overrides = overrides or {}
        self._verify = verify

    async def places(self, server_name: str) -> list[Place]:
        """Where a server (a valid name) may be reached, the better first. Raises nothing: what does not answer is found
        out by connecting."""
        override = self._overrides.get(server_name)
        found = [override] if override is not None else await self._find(server_name)
        if self._verify:
            return found
        return [replace(place, target=replace(place.target, is_verified=False)) for place in found]

    async def _find(self, server_name: str) -> list[Place]:
        host, port = split_port(server_name)
        # 1. an IP literal, 2. an explicit port
        if is_address(host) or port is not None:
            return [_at(host, port, server_name)]
        # 3. a delegation by the domain's web server
        delegated = await self._well_known.delegated(host)
        if delegated is None:
            # 4. to 6. SRV records, then the name itself
            return await self._by_service(host)
        delegated_host, delegated_port = split_port(delegated)
        # 3.1. an IP literal, 3.2. an explicit port
        if is_address(delegated_host) or delegated_port is not None:
            return [_at(delegated_host, delegated_port, delegated)]
        # 3.3. to 3.5.
        return await self._by_service(delegated_host)

    async def _by_service(self, host: str) -> list[Place]:
        for service in ("_matrix-fed._tcp", "_matrix._tcp"):
            records = await self._services.records(f"{service}.{host}")
            if records:
                ordered = in_order(records, self._random)[:PLACES_LIMIT]
                return [Place(Target(record.host, record.port, host), host) for record in ordered]
        return [_at(host, None, host)]


def _at(host: str, port: int | None, host_header: str) -> Place:
    return Place(Target(host, port or DEFAULT_PORT, host), host_header)
