"""Puts a worker of some roles together on a node: what it follows, what it serves, what it forwards."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace
from twisted.logger import Logger

from hs_common.http.consent import ConsentGate
from hs_common.http.credentials import trusted_networks
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.egress.making import make_egress
from hs_common.http.forwarding import Forwarder
from hs_common.http.lanes import Lanes
from hs_common.http.last_seen import LastSeen
from hs_common.http.listener import Listener
from hs_common.http.quick_lane import QuickLane
from hs_common.http.rate_limits import RateLimits, buckets_of
from hs_common.http.reception import Reception
from hs_common.http.relay_lane import RelayLane
from hs_common.http.router import Router
from hs_common.http.tls import CertificateFiles
from hs_common.http.turns import Turns
from hs_common.http.whole_lane import WholeLane
from hs_common.process.node import Node
from hs_common.process.ongoing import Ongoing
from hs_common.process.request_log import RequestLog
from hs_common.process.worker_threads import WorkerThreads
from hs_common.replication.clock import pause
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import DatabaseError
from hs_workers.following import Following
from hs_workers.refresh_confirmation import RefreshConfirmation
from hs_workers.registry import declared
from hs_workers.roles import ROLES, role
from hs_workers.roles.parts import RoleParts, oauth_tokens

FLUSH_INTERVAL_S: Final = 60.0
# Threads for password hashes: as many as cores on a small machine; each takes one whole for some 30 ms.
HASHING_THREADS: Final = 2

FEDERATION_ROLE: Final = "federation-inbound"

_log = Logger()


class WorkerParts:
    """The parts of a worker; `add_steps` gives them to the process."""

    def __init__(self, node: Node, roles: Sequence[str], following: Following, link: Link) -> None:
        self._node = node
        self._roles = roles
        self._following = following
        self._link = link
        config = node.config
        is_exempt = following.app_services.is_exempt
        self.limits = RateLimits(buckets_of(config.rate_limits), node.reactor.seconds, is_exempt)
        self._threads = WorkerThreads(node.reactor, HASHING_THREADS, "hashing")
        self._egress = make_egress(node.reactor, config.egress, node.metrics)
        # What the config names is where the operator says, in private networks too.
        anywhere = replace(config.egress, allow=("0.0.0.0/0", "::/0"), deny=())
        self._trusted = make_egress(node.reactor, anywhere, node.metrics)
        self._parts = RoleParts(
            node, following, link, self._threads, self.limits, self._egress.client, self._trusted.client
        )
        following.oauth_tokens = oauth_tokens(self._parts)
        self._last_seen = LastSeen(node.db, node.outside.now_ms)
        self._confirmation = RefreshConfirmation(node.db, link)
        following.authenticator.on_expiring_token = self._token_used
        self.router = Router()
        self._flushing = Ongoing(node.reactor, "writing when devices were last seen", self._flush_on)

    def add_endpoints(self) -> None:
        """The endpoints of the own roles, and the declarations of all others, which are forwarded."""
        for name in self._roles:
            for instance in role(name).make(self._parts) if name in ROLES else ():
                self.router.add(instance, name)
        for name, declaration in declared():
            if name not in self._roles:
                self.router.declare(declaration, name)
        self.router.add(self._node.operating(), role="")

    def add_steps(self) -> None:
        """Follow, forward, listen."""
        node, config, following = self._node, self._node.config, self._following
        forwarder = Forwarder(node.reactor, node.find_workers, node.look_again)
        federation = self._parts.made_federation
        turns = Turns(node.reactor.callLater, node.reactor.seconds)
        node.metrics.watch_queue("requests", lambda: turns.waiting)
        dispatcher = Dispatcher(
            following.authenticator,
            self.limits,
            following.barrier,
            self._last_seen,
            None if federation is None else federation.authenticator,
            following.oauth_tokens,
            ConsentGate(config.terms, config.cluster.secret, config.server.public_baseurl),
            turns,
        )
        is_proxy = trusted_networks(config.listen.trusted_proxies)
        log_all = config.logging.level == "debug"
        reception = Reception(
            router=self.router,
            dispatcher=dispatcher,
            observer=RequestLog(node.metrics, config.logging.slow_request_ms, log_all),
            monotonic=node.reactor.seconds,
            date=node.date,
            new_request_id=node.request_id,
            is_trusted=lambda address: is_proxy(address) or node.is_member(address),
            forwarder=forwarder,
            body_limit_bytes=config.limits.request_body_bytes,
        )
        if any(name in ROLES for name in self._roles):
            whole, quick = WholeLane(reception), QuickLane(reception, dispatcher, self._parts.quick_endpoints)
            reception.lane = Lanes((quick, whole))
            node.metrics.watch_cache("headers of clients", lambda: whole.entries() + quick.entries())
        else:
            # A front door: all of what clients ask for is passed on.
            reception.lane = front = RelayLane(reception, forwarder)
            node.metrics.watch_cache("headers of clients", front.entries)
        node.service.step("forwarding", _nothing, forwarder.close)
        node.service.step("connections to the outside", _nothing, self._egress.close)
        node.service.step("connections to what the config names", _nothing, self._trusted.close)
        node.service.step("hashing threads", _nothing, self._close_threads)
        node.service.step("devices last seen", self._start_flushing, self._flush)
        listener = Listener(reception, node.reactor, connections_limit=config.limits.open_connections)
        node.service.listen(listener, config.listen.address, config.listen.port)
        if FEDERATION_ROLE in self._roles and config.federation.tls_port:
            self._listen_with_tls(reception)

    def _listen_with_tls(self, reception: Reception) -> None:
        """A port of our own for other servers."""
        node, settings = self._node, self._node.config.federation
        files = CertificateFiles(settings.tls_certificate_file, settings.tls_key_file, node.reactor.seconds)
        listener = Listener(reception, node.reactor, connections_limit=node.config.limits.open_connections)
        node.service.listen(listener, settings.tls_address, settings.tls_port, files.wrap)

    async def _close_threads(self) -> None:
        self._threads.close()

    def _token_used(self, token_hash: bytes) -> None:
        if not self._confirmation.is_settled(token_hash):
            self._node.background("confirm refresh", self._confirmation.confirm(token_hash))

    async def _start_flushing(self) -> None:
        self._flushing.start()

    async def _flush_on(self) -> None:
        while True:
            await pause(self._node.reactor, FLUSH_INTERVAL_S)
            await self._write_last_seen()

    async def _flush(self) -> None:
        self._flushing.stop()
        await self._write_last_seen()

    async def _write_last_seen(self) -> None:
        try:
            await self._last_seen.flush()
        except DatabaseError as error:
            _log.warn("when devices were last seen is written later: {error}", error=error)


async def _nothing() -> None:
    return None
