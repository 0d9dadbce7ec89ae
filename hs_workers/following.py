"""How a worker follows the log: its follower, what carries the log to it, the ephemeral view, the read barrier, and
what every role keeps from the log (who may call).
"""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.logger import Logger

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.requesters import ServiceRequesters
from hs_common.http.authentication import Authenticator
from hs_common.http.oauth_tokens import OAuthTokens
from hs_common.process.node import Node
from hs_common.process.ongoing import Ongoing
from hs_common.replication import items
from hs_common.replication.barrier import ReadBarrier
from hs_common.replication.carrier import Carrier
from hs_common.replication.carrier_memory import MemoryCarrier
from hs_common.replication.carrier_redis import CLOSE_PAUSE_SECONDS, LONG_PAUSE_SECONDS, RedisCarrier
from hs_common.replication.clock import pause
from hs_common.replication.entry import Entry, EntryItem, UnknownFormat
from hs_common.replication.ephemeral import Message
from hs_common.replication.ephemeral_view import EphemeralView
from hs_common.replication.follower import Follower, nobody_waits
from hs_common.replication.names import stream_keys
from hs_common.replication.outbox import Outbox
from hs_common.replication.redis_connection import RedisServer
from hs_common.replication.subscription import Subscription
from hs_common.storage import log

# A cached token is believed while the log was heard of within this time: the bound of a revocation's delay.
FRESH_SECONDS: Final = 5.0
# Further behind than this, others should get the requests.
LAG_LIMIT_S: Final = 30.0
PASS_TIME_S: Final = 1.0

_log = Logger()


class Following:
    """A worker's place in the log and what hangs on it. Subscribers are added before `add_steps`."""

    def __init__(self, node: Node, carrier: MemoryCarrier | None) -> None:
        """`carrier` is given where the master is in the same process."""
        self._node = node
        self._memory = carrier
        self.ephemeral = EphemeralView()
        self.app_services = ServiceRegistry(node.db, node.config.server.name, self.is_fresh)
        self._service_users = ServiceRequesters(node.db, self.app_services, self.is_fresh)
        self.authenticator = Authenticator(node.db, node.outside.now_ms, self.is_fresh, self._service_users)
        self.oauth_tokens: OAuthTokens | None = None
        """Set by who has connections to the authentication service, before anything is served."""
        self._subscriptions: list[Subscription] = [self._revocations(), self.app_services.subscription()]
        self._on_advance: list[Callable[[int], None]] = []
        self._on_ephemeral: list[Callable[[Message], None]] = []
        self.someone_waits: Callable[[], bool] = nobody_waits
        self._acts_outside: list[Callable[[], bool]] = []
        self._follower: Follower | None = None
        self._carrier: Carrier | None = None
        self._passing = Ongoing(node.reactor, "the passing of time for what is followed", self._pass_time)
        self._outbox = Outbox(node.db)

    # --- what roles add ---

    def subscribe(self, subscription: Subscription) -> None:
        self._subscriptions.append(subscription)

    def when_advanced(self, call: Callable[[int], None]) -> None:
        """Call with the new position when all subscribers have applied a batch."""
        self._on_advance.append(call)

    def when_ephemeral(self, call: Callable[[Message], None]) -> None:
        """Call with each typing or presence value that clients have not seen yet."""
        self._on_ephemeral.append(call)

    def close_while(self, acts_outside: Callable[[], bool]) -> None:
        """Read the log closely while this says that somebody outside is told what it tells, or refused by it. Else
        nobody notices some hundredths of a second: whoever waits, or reads what he has just written, ends the pause."""
        self._acts_outside.append(acts_outside)

    # --- what roles use ---

    @property
    def follower(self) -> Follower:
        assert self._follower is not None, "the follower is there after add_steps"
        return self._follower

    def hurry(self) -> None:
        """Somebody waits now for what the log tells."""
        self.follower.hurry()

    def is_fresh(self) -> bool:
        """Whether the log was heard of lately, so that what was not revoked still holds."""
        return self._follower is not None and self._follower.seconds_since_contact() < FRESH_SECONDS

    async def barrier(self) -> bool:
        """Wait until this process shows all that was committed before this call; False: it does not, yet."""
        return await self._barrier.reached()

    # --- life ---

    def add_steps(self) -> None:
        """Make the follower; the process starts and stops it."""
        node = self._node
        self._follower = Follower(
            node.reactor,
            node.outside.random,
            self._outbox,
            self._subscriptions,
            self._cannot_read,
            on_advance=self._advanced,
            someone_waits=lambda: self.someone_waits(),
        )
        self._barrier = ReadBarrier(node.reactor, self._follower, self._head)
        follower = self._follower
        metrics = node.metrics.follower("log")

        def show() -> None:
            metrics.at(follower.position.pos, max(follower.position.pos, follower.heard_of), follower.lag_seconds())
            metrics.has_counted(follower.counts.repairs, max(0, follower.counts.resets - 1))  # the first is the start

        self._show = show
        node.lag_ms = lambda: round(1000 * follower.lag_seconds())
        node.health.not_ready_while("log", self._behind)
        node.service.step("log", self._start, self._stop)

    async def _start(self) -> None:
        self._carrier = self._make_carrier()
        await self.follower.start(self._carrier)
        await self.app_services.refresh()
        self.app_services.when_changed(self._read_app_services)
        self._passing.start()

    async def _stop(self) -> None:
        self._passing.stop()
        await self.follower.stop()

    def _make_carrier(self) -> Carrier | None:
        node = self._node
        if self._memory is not None:
            self._memory.listen(self._heard)
            return self._memory
        if not node.config.redis.url:
            return None
        server = RedisServer(node.reactor, node.config.redis.url)
        keys = stream_keys(node.config.cluster.id)
        return RedisCarrier(server, node.outside.random, keys, self._heard, self._pause_s)

    def _pause_s(self) -> float:
        return CLOSE_PAUSE_SECONDS if any(acts() for acts in self._acts_outside) else LONG_PAUSE_SECONDS

    def _read_app_services(self) -> None:
        """At once, for those who ask what is known and do not wait."""
        self._node.background("read the application services", self.app_services.refresh())

    def _behind(self) -> str | None:
        lag_s = self.follower.lag_seconds()
        return f"{lag_s:.0f} s behind the log" if lag_s > LAG_LIMIT_S else None

    async def _head(self) -> int:
        return await log.head(self._node.db)

    def _cannot_read(self, error: UnknownFormat) -> None:
        _log.critical("{error}", error=error)
        self._node.reactor.stop()

    def _advanced(self, pos: int) -> None:
        self._show()
        for call in self._on_advance:
            call(pos)

    # --- ephemeral ---

    def _heard(self, counter: int, body: bytes) -> None:
        message = self.ephemeral.apply(counter, body, self._node.outside.now_ms())
        if message is not None:
            self._tell(message)

    def _tell(self, message: Message) -> None:
        for call in self._on_ephemeral:
            call(message)

    async def _pass_time(self) -> None:
        while True:
            await pause(self._node.reactor, PASS_TIME_S)
            self._show()
            for message in self.ephemeral.pass_time(self._node.outside.now_ms()):
                self._tell(message)

    # --- who may call ---

    def _revocations(self) -> Subscription:
        def apply(batch: Sequence[EntryItem], entry: Entry) -> None:
            for one in batch:
                item = items.decode(one.kind, one.body)
                if isinstance(item, items.SessionsItem):
                    for token_hash in item.token_hashes:
                        self.authenticator.forget_token(token_hash)
                elif isinstance(item, items.UserItem):
                    self.authenticator.forget_user(item.user_id)
                    if item.created:
                        self._service_users.made(item.user_id, item.locked, item.suspended, item.deactivated)
                    else:
                        self._service_users.forget_user(item.user_id)
                    self._forget_oauth(item.user_id)
                elif isinstance(item, items.DevicesItem) and item.removed:
                    self._forget_oauth(item.user_id)

        def void(pos: int) -> None:
            self.authenticator.void()
            self._service_users.void()
            if self.oauth_tokens is not None:
                self.oauth_tokens.void()

        kinds = ("sessions", "user", "devices") if self._node.config.oauth.issuer else ("sessions", "user")
        return Subscription("revocations", kinds, apply, void)

    def _forget_oauth(self, user_id: str) -> None:
        if self.oauth_tokens is not None:
            self.oauth_tokens.forget_user(user_id)
