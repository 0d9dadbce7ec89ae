"""SRV records: where a domain says that a service of its is.

The library's resolver is loaded and made when the first record is asked for, since it keeps reading the system's list
of name servers from then on. Not known here: what a record means for a server's name.

https://www.rfc-editor.org/rfc/rfc2782
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.error import DNSLookupError
from twisted.internet.error import TimeoutError as DnsTimeout

from hs_common.bounded import Bounded

TIMEOUTS_S: Final = (1, 3)
"""Two tries. A name server that does not answer means no record: the request goes on without."""
RECORDS_LIMIT: Final = 16
SHORTEST_S: Final = 60.0
LONGEST_S: Final = 3_600.0
KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `ttl_s` is for how long it holds."""

    priority: int
    weight: int
    host: str
    port: int
    ttl_s: float


class ServiceLookup(Protocol):
    """Finds records."""

    async def records(self, name: str) -> Sequence[Record]:
        """Those of a name such as `_matrix-fed._tcp.example.org`; empty if there are none. Raises nothing."""


class DnsServiceLookup:
    """By the system's name servers. `reactor` opens sockets and keeps time."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._resolver: Any = None

    async def records(self, name: str) -> Sequence[Record]:
        from twisted.names import dns
        from twisted.names.client import Resolver
        from twisted.names.error import DomainError, ResolverError

        if self._resolver is None:
            self._resolver = Resolver(resolv="/etc/resolv.conf", reactor=self._reactor)
        try:
            answers, _, _ = await self._resolver.lookupService(name, timeout=TIMEOUTS_S)
        except (DomainError, ResolverError, DNSLookupError, DnsTimeout, OSError, ValueError):
            return ()
        found = [_record(answer) for answer in answers if answer.type == dns.SRV]
        return [record for record in found if record.host and record.port][:RECORDS_LIMIT]


def _record(answer: Any) -> Record:
    payload = answer.payload
    host = payload.target.name.decode("ascii", "replace").rstrip(".")
    return Record(payload.priority, payload.weight, host, payload.port, float(answer.ttl))


class KeptServiceLookup:
    """Keeps what was found, or not, for as long as it holds."""

    def __init__(self, lookup: ServiceLookup, seconds: Callable[[], float]) -> None:
        self._lookup = lookup
        self._seconds = seconds
        self._known = Bounded[str, tuple[float, Sequence[Record]]](KEPT)

    async def records(self, name: str) -> Sequence[Record]:
        known = self._known.get(name)
        if known is not None and known[0] > self._seconds():
            return known[1]
        found = await self._lookup.records(name)
        ttl_s = min((record.ttl_s for record in found), default=SHORTEST_S)
        self._known[name] = (self._seconds() + min(max(ttl_s, SHORTEST_S), LONGEST_S), found)
        return found


def in_order(records: Sequence[Record], random: Callable[[], float]) -> list[Record]:
    """By priority, and at random by weight within one. `random` gives numbers in [0, 1)."""
    left, ordered = sorted(records, key=lambda record: record.priority), []
    while left:
        first = [record for record in left if record.priority == left[0].priority]
        # A weight of 0 is a very small chance, not none.
        at = random() * sum(record.weight + 0.01 for record in first)
        for record in first:
            at -= record.weight + 0.01
            if at < 0:
                break
        ordered.append(record)
        left.remove(record)
    return ordered
