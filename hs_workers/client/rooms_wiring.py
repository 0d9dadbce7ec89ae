"""Puts the endpoints of rooms together. The only place that knows which of their parts needs which."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.config import Config
from hs_common.federation.invitees import Invitees
from hs_common.federation.outgoing import Outgoing
from hs_common.federation.policy_servers import PolicyServer, PolicyServers, Unreachable
from hs_common.federation.restricted_rooms import RestrictedRooms
from hs_common.federation.sending import Sending
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.directory_memory import DirectoryMemory
from hs_common.reading.published_rooms import PublishedRooms
from hs_common.reading.room_summaries import RoomSummaries
from hs_common.reading.room_view import RoomViews
from hs_common.reading.thread_updates import ThreadUpdates
from hs_common.replication.link_interface import Link
from hs_common.replication.subscription import Subscription
from hs_common.storage.queries import Queries
from hs_workers.client.accounts.account_data import UserAccountData
from hs_workers.client.banning import Banning
from hs_workers.client.create_room import CreateRoomEndpoint
from hs_workers.client.delayed_events import DelayedEventsEndpoints
from hs_workers.client.directory import Directory
from hs_workers.client.event_context import EventContext
from hs_workers.client.inviting import Inviting
from hs_workers.client.joining import Joining
from hs_workers.client.kicking import Kicking
from hs_workers.client.knocking import Knocking
from hs_workers.client.leaving import Leaving
from hs_workers.client.list_joined_rooms import ListJoinedRooms
from hs_workers.client.list_public_rooms import ListPublicRooms
from hs_workers.client.message_pagination import MessagePagination
from hs_workers.client.mutual_rooms import MutualRooms
from hs_workers.client.notifications import Notifications
from hs_workers.client.read_markers import ReadMarkers
from hs_workers.client.receipts import Receipts
from hs_workers.client.redaction import Redaction
from hs_workers.client.relations import Relations
from hs_workers.client.remote.making import RemoteReads
from hs_workers.client.report_content import ReportContent
from hs_workers.client.room.aliases import Aliases
from hs_workers.client.room.children import Children
from hs_workers.client.room.closed_rooms import ClosedRooms
from hs_workers.client.room.creating import Creating
from hs_workers.client.room.delaying import Delaying
from hs_workers.client.room.elsewhere import Elsewhere, Nowhere
from hs_workers.client.room.found_neighbours import NeighbourReading
from hs_workers.client.room.found_users import FoundUsers
from hs_workers.client.room.hierarchy import Hierarchies
from hs_workers.client.room.marking import Marking
from hs_workers.client.room.members import Members
from hs_workers.client.room.memberships import Memberships
from hs_workers.client.room.newcomers import Newcomers
from hs_workers.client.room.notices import Notices
from hs_workers.client.room.notified import Notified
from hs_workers.client.room.pages import Pages
from hs_workers.client.room.reading import Reading
from hs_workers.client.room.redacting import Redacting
from hs_workers.client.room.room_ids import RoomIds
from hs_workers.client.room.searching import Searching
from hs_workers.client.room.settling import Settling
from hs_workers.client.room.surroundings import Surroundings
from hs_workers.client.room.third_party_inviting import IdentityServers, ThirdPartyInviting
from hs_workers.client.room.upgrading import Upgrading
from hs_workers.client.room_event_by_timestamp import RoomEventByTimestamp
from hs_workers.client.room_initial_sync import RoomInitialSync
from hs_workers.client.room_send import RoomSend
from hs_workers.client.room_state import RoomState
from hs_workers.client.room_summary import RoomSummary
from hs_workers.client.room_upgrades import RoomUpgrades
from hs_workers.client.rooms import Rooms
from hs_workers.client.search import Search
from hs_workers.client.server_notices import ServerNotices
from hs_workers.client.space_hierarchy import SpaceHierarchy
from hs_workers.client.thread_updates import ThreadUpdatesEndpoint
from hs_workers.client.threads_list import ThreadsList
from hs_workers.client.users import Users

ENDPOINT_CLASSES: tuple[type, ...] = (
    *(
        Banning,
        CreateRoomEndpoint,
        DelayedEventsEndpoints,
        Directory,
        EventContext,
        Inviting,
        Joining,
        Kicking,
        Knocking,
        Leaving,
    ),
    *(
        ListJoinedRooms,
        ListPublicRooms,
        MessagePagination,
        MutualRooms,
        Notifications,
        ReadMarkers,
        Receipts,
        Redaction,
        Relations,
        ReportContent,
    ),
    *(
        RoomEventByTimestamp,
        RoomInitialSync,
        RoomSend,
        RoomState,
        RoomSummary,
        RoomUpgrades,
        Rooms,
        Search,
        ServerNotices,
        SpaceHierarchy,
        ThreadUpdatesEndpoint,
        ThreadsList,
        Users,
    ),
)
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day, `seconds` a clock that never goes back,
    `random(n)` gives n unpredictable bytes."""

    db: Queries
    master: Link
    now_ms: Callable[[], int]
    seconds: Callable[[], float]
    random: Callable[[int], bytes]
    outgoing: Outgoing
    policy_server: PolicyServer = field(default_factory=Unreachable)
    subscribe: Callable[[Subscription], None] = lambda subscription: None
    services: ServiceRegistry | None = None
    queries: ServiceQueries | None = None
    elsewhere: Elsewhere = field(default_factory=Nowhere)
    remote: RemoteReads | None = None
    identity_servers: IdentityServers | None = None


def room_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    policies = policy_servers(outside)
    sending = Sending(outside.db, outside.master, policies, outside.outgoing.invites)
    return [*_writing(config, outside, sending, policies), *_reading(config, outside, sending)]


def policy_servers(outside: Outside) -> PolicyServers:
    """What knows which rooms use a policy server."""
    policies = PolicyServers(outside.db, outside.policy_server, outside.seconds)
    outside.subscribe(policies.subscription())
    return policies


def _writing(config: Config, outside: Outside, sending: Sending, policies: PolicyServers) -> list[object]:
    db, master, name = outside.db, outside.master, config.server.name
    invitees = Invitees(db, name, outside.queries)
    settling, closed = Settling(db, UserAccountData(db, master)), ClosedRooms(db, outside.seconds)
    restricted, elsewhere = RestrictedRooms(db, name), outside.outgoing.rooms
    newcomers = Newcomers(db, name)
    memberships = Memberships(db, sending, invitees, restricted, settling, elsewhere, closed, newcomers)
    aliases = _aliases(config, outside, sending)
    room_ids = RoomIds(name, outside.random)
    by_address = ThirdPartyInviting(db, sending, memberships, outside.identity_servers)
    creating = Creating(db, master, sending, invitees, by_address, name, config.server.default_room_version, room_ids)
    notices = Notices(db, master, creating, memberships, config.server_notices, name)
    redacting = Redacting(db, sending)
    marking = Marking(db, master)
    delaying = Delaying(db, master, config.limits, outside.random)
    return [
        Banning(memberships),
        CreateRoomEndpoint(creating, aliases),
        DelayedEventsEndpoints(delaying),
        Inviting(memberships, by_address),
        Joining(memberships, aliases),
        Kicking(memberships),
        Knocking(memberships, aliases),
        Leaving(memberships, notices, master),
        ReadMarkers(marking),
        Receipts(marking),
        Redaction(redacting),
        RoomSend(sending, redacting, delaying),
        RoomState(sending, memberships, notices, aliases, delaying),
        RoomUpgrades(Upgrading(db, master, sending, policies, settling, room_ids)),
        ServerNotices(notices),
    ]


def _aliases(config: Config, outside: Outside, sending: Sending) -> Aliases:
    return Aliases(
        outside.db,
        outside.master,
        sending,
        config.server.name,
        outside.services,
        outside.queries,
        outside.outgoing.others.quick,
        outside.seconds,
    )


def _reading(config: Config, outside: Outside, sending: Sending) -> list[object]:
    db, master, name = outside.db, outside.master, config.server.name
    views = RoomViews(db)
    events = ClientEvents(db, views, outside.now_ms)
    reading = Reading(db, views, events, outside.outgoing.backfilling)
    pages = Pages(db, views, outside.outgoing.backfilling)
    children = Children(db, reading, views, events)
    sizes = DirectoryMemory(db, outside.seconds)
    summaries = RoomSummaries(db, name, sizes.joined)
    aliases = _aliases(config, outside, sending)
    directories = None if outside.remote is None else outside.remote.directories
    return [
        Directory(db, aliases, views),
        EventContext(Surroundings(db, reading, pages, events)),
        ListJoinedRooms(db),
        ListPublicRooms(db, master, PublishedRooms(db, sizes), name, directories),
        MessagePagination(reading, pages, events, config.limits.page_size),
        MutualRooms(db),
        Notifications(Notified(db, views, events)),
        Relations(children),
        ReportContent(db, reading, name, outside.now_ms),
        RoomEventByTimestamp(db, reading, views),
        RoomInitialSync(db, reading, pages, events),
        RoomSummary(db, summaries, aliases, outside.elsewhere),
        Rooms(reading, Members(db, reading, events), events),
        Search(Searching(db, views, events, NeighbourReading(db, views, pages))),
        SpaceHierarchy(Hierarchies(db, summaries, outside.elsewhere)),
        ThreadUpdatesEndpoint(db, ThreadUpdates(db, views, events)),
        ThreadsList(children),
        Users(FoundUsers(db, name, config.user_directory.search_all_users)),
    ]
