"""Puts the endpoints for other servers together. The only place that knows which of their parts needs which."""

from collections.abc import Callable
from dataclasses import dataclass

from hs_common.config import Config
from hs_common.federation.making import FederationParts
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.keys_query import KeysQuery
from hs_workers.federation_inbound.keys_server import KeysServer
from hs_workers.federation_inbound.version import Version

ENDPOINT_CLASSES: tuple[type, ...] = (KeysQuery, KeysServer, Version)
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day."""

    db: Queries
    federation: FederationParts
    now_ms: Callable[[], int]


def inbound_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, federation = outside.db, outside.federation
    return [
        KeysQuery(db, federation.keys, federation.own_keys, federation.domains, outside.now_ms),
        KeysServer(federation.own_keys),
        Version(),
    ]
