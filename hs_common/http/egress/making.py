"""Makes the client of a process from the config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hs_common.config.egress import Egress
from hs_common.http.egress.client import EgressClient, Observer
from hs_common.http.egress.connecting import Connector
from hs_common.http.egress.policy import EgressPolicy
from hs_common.http.egress.pool import Pool
from hs_common.http.egress.resolving import Lookup, Resolver, system_lookup
from hs_common.http.egress.trust import Trust
from hs_common.process.worker_threads import WorkerThreads

RESOLVING_THREADS: Final = 4
"""A name server that does not answer holds one for some seconds."""
RESOLVING_QUEUE: Final = 256


@dataclass(frozen=True, slots=True)
class EgressParts:
    """The client, and what it stands on for who needs connections of another kind."""

    client: EgressClient
    pool: Pool
    close: Callable[[], Any]


def make_egress(
    reactor: Any, config: Egress, observer: Observer, *, trust: Trust | None = None, lookup: Lookup = system_lookup
) -> EgressParts:
    """`trust` replaces that of the config, for connections with other authorities."""
    threads = WorkerThreads(reactor, RESOLVING_THREADS, "resolving", RESOLVING_QUEUE)
    resolver = Resolver(threads, reactor.seconds, lookup)
    policy = EgressPolicy(config.allow, config.deny)
    pool = Pool(reactor, Connector(reactor, resolver, policy, trust or Trust(config.ca_file)))
    client = EgressClient(pool, observer, reactor.seconds)

    async def close() -> None:
        pool.close()
        threads.close()

    return EgressParts(client, pool, close)
