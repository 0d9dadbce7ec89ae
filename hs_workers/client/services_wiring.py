"""Puts the endpoints for application services, and for the operator of them and of federation, together."""

from collections.abc import Callable
from dataclasses import dataclass

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.registry import ServiceRegistry
from hs_common.config import Config
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.client.appservice_administration import AppServiceAdministration
from hs_workers.client.appservice_ping import AppServicePing
from hs_workers.client.appservice_room_directory import AppServiceRoomDirectory
from hs_workers.client.batch_sending import BatchSending
from hs_workers.client.federation_administration import FederationAdministration
from hs_workers.client.room.importing import Importing

ENDPOINT_CLASSES: tuple[type, ...] = (
    AppServiceAdministration, AppServicePing, AppServiceRoomDirectory, BatchSending, FederationAdministration,
)  # fmt: skip
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day, `seconds` a clock that never goes back."""

    db: Queries
    master: Link
    services: ServiceRegistry
    http: ServiceClient
    now_ms: Callable[[], int]
    seconds: Callable[[], float]


def service_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, master, services, secret = outside.db, outside.master, outside.services, config.registration.shared_secret
    return [
        AppServiceAdministration(db, master, services, config.server.name, secret, outside.now_ms),
        FederationAdministration(db, master, secret, outside.now_ms),
        AppServicePing(db, master, services, outside.http, outside.seconds),
        AppServiceRoomDirectory(db, services),
        BatchSending(Importing(db, master, services)),
    ]
