"""How each role makes its endpoints. The one place where roles meet what a process has."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.email.making import make_mailer
from hs_common.federation.making import FederationParts, make_federation
from hs_common.federation.outgoing import OtherServers, Outgoing
from hs_common.federation.remote import RemoteServers
from hs_common.federation.signs_of_life import SignsOfLife
from hs_common.http.egress.client import EgressClient
from hs_common.http.oauth_service import OAuthService
from hs_common.http.oauth_tokens import OAuthTokens
from hs_common.http.rate_limits import RateLimits
from hs_common.process.node import Node
from hs_common.process.signing_key import read_signing_key
from hs_common.process.worker_threads import WorkerThreads
from hs_common.replication.link_interface import Link
from hs_workers.appservice.wiring import AppServiceParts
from hs_workers.client.account_parts import Outside as AccountsOutside
from hs_workers.client.accounts.identity_servers import IdentityServers
from hs_workers.client.accounts_wiring import account_endpoints, interactive_auth
from hs_workers.client.encryption_wiring import Outside as EncryptionOutside
from hs_workers.client.encryption_wiring import encryption_endpoints
from hs_workers.client.moderation_wiring import moderation_endpoints
from hs_workers.client.remote.making import make_remote_reads
from hs_workers.client.rooms_wiring import Outside as RoomsOutside
from hs_workers.client.rooms_wiring import room_endpoints
from hs_workers.client.services_wiring import Outside as ServicesOutside
from hs_workers.client.services_wiring import service_endpoints
from hs_workers.federation_inbound.wiring import Outside as InboundOutside
from hs_workers.federation_inbound.wiring import inbound_endpoints
from hs_workers.federation_inbound.writing import WritingOutside, WritingParts
from hs_workers.federation_sender.wiring import SenderParts
from hs_workers.following import Following
from hs_workers.media.wiring import media_endpoints
from hs_workers.push.wiring import PushParts
from hs_workers.sync.wiring import Outside as SyncOutside
from hs_workers.sync.wiring import SyncParts


class RoleParts:
    """What a role may use of its process."""

    def __init__(
        self,
        node: Node,
        following: Following,
        link: Link,
        threads: WorkerThreads,
        limits: RateLimits,
        egress: EgressClient,
        trusted_egress: EgressClient,
    ) -> None:
        self.node = node
        self.following = following
        self.link = link
        self.threads = threads
        self.limits = limits
        self.egress = egress
        self.trusted_egress = trusted_egress
        self.oauth = (
            OAuthService(node.config.oauth, trusted_egress, node.outside.now_ms) if node.config.oauth.issuer else None
        )
        self.made_federation: FederationParts | None = None
        self.made_outgoing: Outgoing | None = None
        self._service_client: ServiceClient | None = None

    @property
    def service_client(self) -> ServiceClient:
        """What asks application services, made for the first role that does."""
        if self._service_client is None:
            self._service_client = ServiceClient(self.node.reactor)
            self.node.service.step("connections to application services", _nothing, self._service_client.close)
        return self._service_client

    @property
    def service_queries(self) -> ServiceQueries:
        """What application services are asked before something of theirs is said not to exist."""
        return ServiceQueries(self.following.app_services, self.service_client)

    @property
    def federation(self) -> FederationParts:
        """What talks with other servers, made for the first role that does; it needs the server's signing key."""
        if self.made_federation is None:
            node = self.node
            self.made_federation = made = make_federation(
                node.config, self.egress, node.reactor, node.db, node.outside.random.random, node.outside.now_ms
            )

            async def close() -> None:
                made.close()

            node.service.step("talking with other servers", _nothing, close)
            node.metrics.watch_cache("keys of servers", lambda: len(made.keys))
            node.metrics.watch_cache("delegations of domains", lambda: len(made.well_known))
            node.metrics.watch_cache("servers left alone", lambda: len(made.back_off))
        return self.made_federation

    @property
    def outgoing(self) -> Outgoing:
        """What acts through other servers, made for the first role that does."""
        if self.made_outgoing is None:
            node, federation = self.node, self.federation
            others = OtherServers(
                remote=RemoteServers(federation.client),
                quick=RemoteServers(federation.client, quick=True),
                keys=federation.keys,
                server_name=node.config.server.name,
                key=federation.own_keys.key,
                clock=node.reactor,
                now_ms=node.outside.now_ms,
                random=node.outside.random_bytes,
                uuid=node.outside.uuid,
            )
            self.made_outgoing = made = Outgoing(node.db, self.link, others)
            node.metrics.watch_queue("rooms being joined", lambda: len(made.joins))
        return self.made_outgoing


def oauth_tokens(parts: RoleParts) -> OAuthTokens | None:
    """What tells whose tokens of an authentication service are, where accounts are left to one."""
    node, following = parts.node, parts.following
    if parts.oauth is None:
        return None
    name, now_ms = node.config.server.name, node.outside.now_ms
    return OAuthTokens(node.db, parts.link, parts.oauth, name, following.is_fresh, now_ms)


def client(parts: RoleParts) -> Iterable[object]:
    """Accounts, rooms and everything else that is answered at once."""
    node, services = parts.node, parts.following.app_services
    http, queries = parts.service_client, parts.service_queries
    remote = make_remote_reads(parts.federation.client, node.config.server.name, node.reactor.seconds)
    identity_servers = IdentityServers(
        parts.egress,
        node.config.accounts.identity_servers,
        node.config.server.name,
        read_signing_key(Path(node.config.server.signing_key_file)),
    )
    outside = AccountsOutside(
        db=node.db,
        master=parts.link,
        threads=parts.threads,
        failures=parts.limits,
        presence=parts.following.ephemeral,
        now_ms=node.outside.now_ms,
        random=node.outside.random_bytes,
        services=services,
        queries=queries,
        mailer=make_mailer(node.reactor, node.config, node.outside.now_ms, node.outside.random_bytes),
        identity_servers=identity_servers,
        trusted=parts.trusted_egress,
        profiles=remote.profiles,
        oauth=parts.oauth,
    )
    yield from account_endpoints(node.config, outside)
    rooms = RoomsOutside(
        db=node.db,
        master=parts.link,
        now_ms=node.outside.now_ms,
        seconds=node.reactor.seconds,
        random=node.outside.random_bytes,
        outgoing=parts.outgoing,
        policy_server=parts.outgoing.policy_server,
        services=services,
        queries=queries,
        elsewhere=remote.rooms,
        remote=remote,
        identity_servers=identity_servers,
    )
    yield from room_endpoints(node.config, rooms)
    yield from moderation_endpoints(node.config, rooms)
    bridges = ServicesOutside(node.db, parts.link, services, http, node.outside.now_ms, node.reactor.seconds)
    yield from service_endpoints(node.config, bridges)
    encryption = EncryptionOutside(
        db=node.db,
        master=parts.link,
        uia=interactive_auth(node.config, outside),
        server_name=node.config.server.name,
        now_ms=node.outside.now_ms,
        federation=parts.federation.client,
    )
    yield from encryption_endpoints(encryption)


def sync(parts: RoleParts) -> Iterable[object]:
    """/sync: what is new, and waiting for it."""
    node = parts.node
    outside = SyncOutside(
        db=node.db,
        master=parts.link,
        background=node.background,
        clock=node.reactor,
        now_ms=node.outside.now_ms,
        server_name=node.config.server.name,
        maximum_timeout_ms=node.config.limits.sync_timeout_ms,
    )
    made = SyncParts(outside, parts.following)

    async def end() -> None:
        made.end()

    node.service.when_draining("long polls", end)
    node.metrics.watch_queue("waiting syncs", lambda: len(made.waiting))
    yield from made.endpoints


def appservice(parts: RoleParts) -> Iterable[object]:
    """Sends application services what is for them. Serves nothing."""
    AppServiceParts(parts.node, parts.following).add_steps()
    return ()


async def _nothing() -> None:
    return None


def media(parts: RoleParts) -> Iterable[object]:
    """Uploads, downloads, thumbnails, previews."""
    return media_endpoints(parts.node, parts.egress, parts.federation.client)


def push(parts: RoleParts) -> Iterable[object]:
    """Notifies users who are not connected. Serves nothing."""
    PushParts(parts.node, parts.following, parts.link, parts.egress).add_steps()
    return ()


def federation_inbound(parts: RoleParts) -> Iterable[object]:
    """What other servers ask and send."""
    node = parts.node
    signs = SignsOfLife(node.db, parts.link, node.reactor.seconds, node.background)
    parts.federation.authenticator.on_alive = signs.heard
    outside = InboundOutside(
        db=node.db,
        master=parts.link,
        federation=parts.federation,
        now_ms=node.outside.now_ms,
        seconds=node.reactor.seconds,
        alias_was_made=parts.service_queries.alias_was_made,
    )
    yield from inbound_endpoints(node.config, outside)
    yield from receiving(parts)


def receiving(parts: RoleParts) -> Iterable[object]:
    """What other servers send, and the work that it makes."""
    node = parts.node
    outside = WritingOutside(
        db=node.db,
        master=parts.link,
        outgoing=parts.outgoing,
        clock=node.reactor,
        background=node.background,
        me=node.id,
        colleagues=lambda: [member.id for member in node.living if "federation-inbound" in member.roles],
        on_fetch=node.metrics.federation_fetched,
        queries=parts.service_queries,
    )
    made = WritingParts(outside)
    parts.following.subscribe(made.subscription())
    node.service.step("events of other servers", made.start, made.stop)
    queues = made.queues
    node.metrics.watch_queue("rooms with events of other servers", lambda: len(queues))
    node.metrics.watch_queue("events of other servers", lambda: queues.backlog[0], lambda: queues.backlog[1])
    yield from made.endpoints()


def federation_sender(parts: RoleParts) -> Iterable[object]:
    """Sends other servers what is for them. Serves nothing."""
    if parts.node.config.federation.enabled:
        SenderParts(parts.node, parts.following, parts.federation.client).add_steps()
    return ()


MAKERS: Final[dict[str, Callable[[RoleParts], Iterable[object]]]] = {
    "client": client,
    "sync": sync,
    "appservice": appservice,
    "media": media,
    "push": push,
    "federation-inbound": federation_inbound,
    "federation-sender": federation_sender,
}
