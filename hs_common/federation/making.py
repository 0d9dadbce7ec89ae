"""Puts together what a process needs to talk with other servers, from the config."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hs_common.config import Config
from hs_common.federation.accounts import Accounts
from hs_common.federation.authentication import RequestAuthenticator
from hs_common.federation.back_off import MemoryBackOff
from hs_common.federation.client import FederationClient, Identity
from hs_common.federation.discovery import Discovery, parse_overrides
from hs_common.federation.domains import Domains
from hs_common.federation.key_fetching import KeyFetcher
from hs_common.federation.key_ring import KeyRing
from hs_common.federation.own_keys import OwnKeys, read_old_keys
from hs_common.federation.srv import DnsServiceLookup, KeptServiceLookup
from hs_common.federation.well_known import WellKnown
from hs_common.http.egress.client import EgressClient
from hs_common.process.signing_key import read_signing_key
from hs_common.process.worker_threads import WorkerThreads
from hs_common.storage.queries import Queries

VERIFYING_THREADS: Final = 1
VERIFYING_QUEUE: Final = 1_000
"""Slices of signatures; a join of a large room waits with some hundred."""
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class FederationParts:
    """What talks with other servers. `close` ends its threads."""

    client: FederationClient
    keys: KeyRing
    own_keys: OwnKeys
    domains: Domains
    authenticator: RequestAuthenticator
    accounts: Accounts
    well_known: WellKnown
    back_off: MemoryBackOff
    close: Callable[[], None]


def make_federation(
    config: Config,
    egress: EgressClient,
    reactor: Any,
    db: Queries,
    random: Callable[[], float],
    now_ms: Callable[[], int],
) -> FederationParts:
    """`random` gives numbers in [0, 1), `now_ms` the time of day. Raises SigningKeyError, ValueError."""
    server_name, settings = config.server.name, config.federation
    key_file = Path(config.server.signing_key_file)
    key = read_signing_key(key_file)
    old = read_old_keys(key_file, settings.old_signing_keys)
    own = OwnKeys(server_name, key, old, settings.key_lifetime_hours * _HOUR_MS, now_ms)
    domains = Domains(settings, server_name)
    well_known = WellKnown(egress, reactor.seconds)
    services = KeptServiceLookup(DnsServiceLookup(reactor), reactor.seconds)
    overrides = parse_overrides(settings.resolve)
    discovery = Discovery(well_known, services, random, overrides, verify=settings.verify_certificates)
    back_off = MemoryBackOff(reactor.seconds, random)
    client = FederationClient(Identity(server_name, key), domains, discovery, egress, back_off, reactor)
    threads = WorkerThreads(reactor, VERIFYING_THREADS, "verifying", VERIFYING_QUEUE)
    fetcher = KeyFetcher(client, db, settings.notaries, now_ms)
    keys = KeyRing(server_name, own.known(), fetcher, db, threads, now_ms)
    accounts = Accounts(reactor.seconds)
    authenticator = RequestAuthenticator(server_name, domains, keys, back_off, accounts, now_ms)
    return FederationParts(
        client=client,
        keys=keys,
        own_keys=own,
        domains=domains,
        authenticator=authenticator,
        accounts=accounts,
        well_known=well_known,
        back_off=back_off,
        close=threads.close,
    )
