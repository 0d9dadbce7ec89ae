"""Puts the endpoints for other servers together. The only place that knows which of their parts needs which."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hs_common.config import Config
from hs_common.federation.making import FederationParts
from hs_common.reading.claimed_keys import KeyCountHints
from hs_common.reading.directory_memory import DirectoryMemory
from hs_common.reading.published_rooms import PublishedRooms
from hs_common.reading.room_summaries import RoomSummaries
from hs_common.reading.server_view import ServerViews
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.backfill import Backfill
from hs_workers.federation_inbound.event_answers import EventAnswers
from hs_workers.federation_inbound.event_auth import EventAuth
from hs_workers.federation_inbound.events import Events
from hs_workers.federation_inbound.graph import Graph
from hs_workers.federation_inbound.keys_query import KeysQuery
from hs_workers.federation_inbound.keys_server import KeysServer
from hs_workers.federation_inbound.openid import OpenIdUserInfo
from hs_workers.federation_inbound.public_rooms import PublicRooms
from hs_workers.federation_inbound.query import Query
from hs_workers.federation_inbound.rooms import Rooms
from hs_workers.federation_inbound.space_hierarchy import SpaceHierarchy
from hs_workers.federation_inbound.user_devices import UserDevices
from hs_workers.federation_inbound.user_keys import UserKeys
from hs_workers.federation_inbound.version import Version
from hs_workers.federation_inbound.writing import WRITING_CLASSES

ENDPOINT_CLASSES: tuple[type, ...] = (
    *(Backfill, EventAuth, Events, KeysQuery, KeysServer, OpenIdUserInfo, PublicRooms, Query, SpaceHierarchy),
    *(UserDevices, UserKeys, Version),
    *WRITING_CLASSES,
)
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day, `seconds` a clock that never goes back,
    `alias_was_made` asks application services for an alias."""

    db: Queries
    master: Link
    federation: FederationParts
    now_ms: Callable[[], int]
    seconds: Callable[[], float]
    alias_was_made: Callable[[str], Awaitable[bool]]


def inbound_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, name = outside.db, config.server.name
    sizes = DirectoryMemory(db, outside.seconds)
    return [
        *_keys(outside),
        *_rooms(name, outside),
        OpenIdUserInfo(db, outside.now_ms),
        PublicRooms(PublishedRooms(db, sizes)),
        Query(db, name, outside.alias_was_made),
        SpaceHierarchy(db, RoomSummaries(db, name, sizes.joined)),
        UserDevices(db, name),
        UserKeys(db, KeyCountHints(outside.master), name),
        Version(),
    ]


def _keys(outside: Outside) -> list[object]:
    federation = outside.federation
    return [
        KeysQuery(outside.db, federation.keys, federation.own_keys, federation.domains, outside.now_ms),
        KeysServer(federation.own_keys),
    ]


def _rooms(name: str, outside: Outside) -> list[object]:
    db = outside.db
    rooms, graph, views, answers = Rooms(db, name), Graph(db), ServerViews(db), EventAnswers(name, outside.now_ms)
    return [
        Backfill(rooms, graph, views, answers),
        EventAuth(db, rooms, graph),
        Events(db, rooms, graph, views, answers),
    ]
