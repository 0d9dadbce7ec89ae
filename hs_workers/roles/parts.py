"""What a role may use of its process, made for the first role that needs it."""

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.federation.making import FederationParts, make_federation
from hs_common.federation.outgoing import OtherServers, Outgoing
from hs_common.federation.remote import RemoteServers
from hs_common.http.egress.client import EgressClient
from hs_common.http.oauth_service import OAuthService
from hs_common.http.oauth_tokens import OAuthTokens
from hs_common.http.quick_lane import QuickEndpoint
from hs_common.http.rate_limits import RateLimits
from hs_common.process.node import Node
from hs_common.process.worker_threads import WorkerThreads
from hs_common.replication.link_interface import Link
from hs_workers.following import Following


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
        self.quick_endpoints: list[QuickEndpoint] = []
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
                on_told=node.metrics.joins_were_told,
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


async def _nothing() -> None:
    return None
