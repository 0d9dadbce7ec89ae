"""The servers that this worker sends to: a sender for each that something waits for, among the shards it holds.

Rules: a server whose row does not say that it is behind has received all that its shard has (`clean_to`), which moves
on only when the rows of all others say so. What the log tells is sorted in its order, aside; who is in a room is
remembered. Spec: server-server-api.md#transactions.
"""

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, gatherResults
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.federation.client import FederationClient
from hs_common.process.ongoing import Ongoing
from hs_common.process.settling import Settling
from hs_common.process.shares import ShareKeeper, Timing, shard_of
from hs_common.replication import items
from hs_common.replication.clock import Clock, pause
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.ephemeral import Message, Presence, Typing
from hs_common.replication.subscription import Subscription
from hs_common.storage import destinations, room_members
from hs_common.storage.queries import DatabaseError, Queries
from hs_workers.federation_sender.devices import DeviceLane
from hs_workers.federation_sender.ephemeral import Edu, EphemeralLane
from hs_workers.federation_sender.sender import DestinationSender, World

DUTY: Final = "federation-sender"
KINDS: Final = ("event", "receipt", "destinations", "devices", "cross_signing")
CLEAN_INTERVAL_S: Final = 5.0
NOTED_LOOK_S: Final = 0.1
"""A sender needs some statements of the database to note that something waits."""
REQUESTS_LIMIT: Final = 200
"""Under way at a time: each holds a connection and its transaction."""
ROOMS_LIMIT: Final = 10_000
"""Rooms whose servers are remembered: some tens of names each, mostly."""
PRESENCES_LIMIT: Final = 100
"""Of how many users in a room a server that comes into it is told at once; of others when they change."""
NEWS_LIMIT: Final = 10_000
"""News that wait to be sorted: more are dropped, and everything is looked at instead."""

_Lasting = tuple[int, items.Item]
_Passing = tuple[str, str, tuple[str, ...], Edu]  # kind (room or user), its id, key, EDU

_log = Logger()


class Deliveries:
    """Keeps senders. `members`: the living workers of this role, by their ids; `head`: this process' place in the
    log; `told`: see `World`."""

    def __init__(
        self,
        *,
        db: Queries,
        client: FederationClient,
        clock: Clock,
        random: Random,
        now_ms: Callable[[], int],
        me: str,
        members: Callable[[], Collection[str]],
        head: Callable[[], int],
        background: Callable[[str, Coroutine[Any, Any, None]], None],
        told: Callable[[int, int, bool], None] = lambda pdus, edus, failed: None,
        timing: Timing | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._head = head
        self._background = background
        self._now_ms = now_ms
        self._server_name = client.identity.server_name
        self._suffix = ":" + self._server_name
        self._may_talk = client.domains.may_talk
        self._settling = Settling(clock, background, "servers to send to", self._settle)
        self.keeper = ShareKeeper(db, clock, DUTY, me, members, self._settling.changed, self._give_up, timing)
        self.lane = EphemeralLane(self._suffix)
        slots = DeferredSemaphore(REQUESTS_LIMIT)
        devices = DeviceLane(db, self._server_name)
        self._world = World(
            db=db,
            client=client,
            clock=clock,
            random=random,
            now_ms=now_ms,
            may_start=self.keeper.may_start,
            head=self._reach,
            sorted_to=lambda: self._sorted_to,
            devices=devices,
            ephemeral=self.lane,
            told=told,
            slots=slots,
        )
        self._senders: dict[str, DestinationSender] = {}
        self._ending: set[DestinationSender] = set()
        self._clean: dict[int, int] = {}  # of the shards held and looked at
        self._servers = Bounded[str, tuple[str, ...]](ROOMS_LIMIT)  # by room
        self._moved: set[str] = set()  # rooms where servers came or went while these were read
        self._jumped = False  # meanwhile, so that all may have moved
        self._lasting: list[_Lasting] = []
        self._passing: list[_Passing] = []
        self._came: dict[str, set[str]] = {}  # servers that came into rooms, and may not know who is online there
        self._sorted_to = 0
        self._looks = 0  # how often it was looked which shards are held
        self._heard_to = 0  # the follower's own position moves only when all subscribers have applied an entry
        self._sorting = self._stopped = False
        self.has_sent = False
        """Whether there was anything for another server so far."""
        self._cleaning = Ongoing(clock, "noting how far all have received", self._clean_on)

    # --- life ---

    def start(self) -> None:
        self.keeper.start()
        self._cleaning.start()

    async def stop(self) -> None:
        """Ends requests under way, and lets other workers go on."""
        self._end_all_but_senders()
        await self.keeper.stop()

    def abandon(self) -> None:
        """Stops as if the process had died."""
        self._end_all_but_senders()
        self.keeper.abandon()
        for sender in self._senders.values():
            sender.work.abandon()

    def _end_all_but_senders(self) -> None:
        self._stopped = True
        self._settling.stop()
        self._cleaning.stop()

    @property
    def sending_to(self) -> int:
        """How many servers something waits for, or waited just now."""
        return len(self._senders)

    @property
    def failing(self) -> int:
        """How many of them could not be reached at the last try."""
        return sum(sender.failures > 0 for sender in self._senders.values())

    # --- what the log and the ephemeral stream tell ---

    def subscription(self) -> Subscription:
        """For the process' follower."""
        return Subscription("other servers' news", KINDS, self._apply, self._reset)

    def _reach(self) -> int:
        """Up to where the log is known here, the entry that is just being applied included."""
        return max(self._head(), self._heard_to)

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        self._heard_to = entry.pos
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.EventItem):
                if item.servers_joined or item.servers_left:
                    self._servers.pop(item.room_id, None)
                    self._moved.add(item.room_id)
                self._show_present(item)
                if not item.introduced and not item.servers_joined:
                    continue
            elif isinstance(item, items.ReceiptItem):
                receipt = self.lane.receipt(item)
                if receipt is not None:
                    self._pass("room", item.room_id, *receipt)
                continue
            self._lasting.append((entry.pos, item))
        if len(self._lasting) > NEWS_LIMIT:
            self._lasting.clear()
            self._forget_clean()
        if self._lasting:
            self._sort_soon()
        elif not self._sorting:
            self._sorted_to = entry.pos

    def _show_present(self, item: items.EventItem) -> None:
        """Who is online: to servers that come into the room, and to those in it when a user of ours comes. Others know,
        or hear of the next change. Spec: server-server-api.md#presence."""
        if item.servers_joined and self._clean and len(self._came) < NEWS_LIMIT:
            came = [server for server in item.servers_joined if self._is_mine(server)]
            if came and self.lane.present:
                self._came.setdefault(item.room_id, set()).update(came)
                self._sort_soon()
        for one in item.memberships:
            presence = self.lane.presence_of(one.user_id, self._now_ms()) if one.membership == "join" else None
            if presence is not None:
                self._pass("room", item.room_id, *presence)

    def heard(self, message: Message) -> None:
        """A value of the ephemeral stream."""
        if isinstance(message, Typing):
            for key, edu in self.lane.typing(message, self._now_ms()):
                self._pass("room", message.room_id, key, edu)
        elif isinstance(message, Presence):
            presence = self.lane.presence(message, self._now_ms())
            if presence is not None:
                self._pass("user", message.user_id, *presence)

    def _pass(self, kind: str, whose: str, key: tuple[str, ...], edu: Edu) -> None:
        if not self._clean:
            return
        if len(self._passing) >= NEWS_LIMIT:
            self._passing.clear()
            self._forget_clean()
            return
        self._passing.append((kind, whose, key, edu))
        self._sort_soon()

    def _reset(self, pos: int) -> None:
        self._servers.clear()
        self._jumped = True
        self._lasting.clear()
        self._forget_clean()

    def _forget_clean(self) -> None:
        """Something was missed: look at everything that waits."""
        self._clean = {}
        for sender in self._senders.values():
            sender.missed()
        self._settling.changed()

    # --- sorting: whom it concerns ---

    def _sort_soon(self) -> None:
        if not self._sorting and not self._stopped:
            self._sorting = True
            self._background("news for other servers", self._sort())

    async def _sort(self) -> None:
        try:
            while (self._lasting or self._passing or self._came) and not self._stopped:
                lasting, self._lasting = self._lasting, []
                passing, self._passing = self._passing, []
                came, self._came = self._came, {}
                await self._load(lasting, passing)
                await self._sort_lasting(lasting)
                await self._sort_passing(passing)
                await self._sort_came(came)
                self._unlearn()
                if lasting:
                    self._sorted_to = lasting[-1][0]
        except DatabaseError as error:
            _log.warn("cannot read whom news concern, looking at everything: {error}", error=error)
            self._forget_clean()
        except CancelledError:
            raise
        except Exception:
            _log.failure("sorting whom news concern failed, looking at everything")
            self._forget_clean()
        finally:
            self._sorting = False

    async def _load(self, lasting: Sequence[_Lasting], passing: Sequence[_Passing]) -> None:
        """Who is in the rooms that are spoken of."""
        self._moved, self._jumped = set(), False
        rooms = {item.room_id for _, item in lasting if isinstance(item, items.EventItem)}
        rooms |= {whose for kind, whose, _, _ in passing if kind == "room"}
        wanted = [room_id for room_id in rooms if room_id not in self._servers]
        if not wanted:
            return
        found: dict[str, list[str]] = {room_id: [] for room_id in wanted}
        for room_id, server in await destinations.servers_of_rooms(self._db, wanted):
            if server != self._server_name:
                found[room_id].append(server)
        for room_id, servers in found.items():
            self._servers[room_id] = tuple(servers)

    def _unlearn(self) -> None:
        """What was read may have been as it was before the log told of a change."""
        for room_id in list(self._servers) if self._jumped else self._moved:
            self._servers.pop(room_id, None)

    async def _sort_lasting(self, lasting: Sequence[_Lasting]) -> None:
        users: set[str] = set()
        for _, item in lasting:
            if isinstance(item, items.EventItem):
                self._wake(self._concerned(item))
            elif isinstance(item, items.DestinationsItem):
                self._wake(item.destinations, is_reachable=item.woken)
            elif isinstance(item, items.DevicesItem | items.CrossSigningItem) and item.user_id.endswith(self._suffix):
                users.add(item.user_id)
        if users:
            rows = await destinations.servers_of_users(self._db, sorted(users))
            self._wake(dict.fromkeys(server for _, server in rows))

    def _concerned(self, item: items.EventItem) -> Iterable[str]:
        """Who is in the room, who has just left it, and the server of the user that a membership is about."""
        concerned = dict.fromkeys((*self._servers.get(item.room_id, ()), *item.servers_left))
        if item.type == "m.room.member" and item.state_key is not None:
            concerned[item.state_key.partition(":")[2]] = None
        return concerned

    async def _sort_passing(self, passing: Sequence[_Passing]) -> None:
        users = sorted({whose for kind, whose, _, _ in passing if kind == "user"})
        sharing: dict[str, set[str]] = {user_id: set() for user_id in users}
        if users:
            for user_id, server in await destinations.servers_of_users(self._db, users):
                sharing[user_id].add(server)
        for kind, whose, key, edu in passing:
            servers = sharing[whose] if kind == "user" else self._servers.get(whose, ())
            mine = [server for server in servers if self._is_mine(server)]
            self.lane.put(mine, key, edu)
            for server in mine:
                self._sender(server).ephemeral()

    async def _sort_came(self, came: Mapping[str, Collection[str]]) -> None:
        for room_id, servers in came.items():
            users = await room_members.joined_local_users(self._db, room_id, self.lane.present, (), PRESENCES_LIMIT)
            told = [self.lane.presence_of(user_id, self._now_ms()) for user_id in users]
            for server in sorted(filter(self._is_mine, servers)):
                for presence in filter(None, told):
                    self.lane.put([server], *presence)
                    self._sender(server).ephemeral()

    def _is_mine(self, server: str) -> bool:
        is_other = server != self._server_name and bool(server)
        return is_other and shard_of(server) in self._clean and self._may_talk(server)

    def _wake(self, servers: Iterable[str], *, is_reachable: bool = False) -> None:
        for server in servers:
            if self._is_mine(server):
                sender = self._sender(server)
                sender.news()
                if is_reachable:
                    sender.retry_now()

    def _sender(self, server: str) -> DestinationSender:
        sender = self._senders.get(server)
        if sender is None:
            shard = shard_of(server)
            sender = DestinationSender(self._world, server, self.keeper.held[shard], self._clean[shard], self._idle)
            self._senders[server] = sender
            self.has_sent = True
            sender.work.start()
        return sender

    def _idle(self, sender: DestinationSender) -> None:
        if self._senders.get(sender.destination) is sender:
            del self._senders[sender.destination]

    # --- which shards ---

    async def _settle(self) -> None:
        """Senders for all that something waits for in the shards held; none in others."""
        self._looks += 1
        held = dict(self.keeper.held)
        for sender in list(self._senders.values()):
            if held.get(shard_of(sender.destination)) != sender.term:
                await self._end(sender)
        new = [shard for shard in held if shard not in self._clean]
        self._clean = {shard: pos for shard, pos in self._clean.items() if shard in held}
        if not new:
            return
        # From here on what the log tells of these shards is heard; what came before is looked for.
        read = await destinations.clean_to(self._db, new)
        clean = {shard: pos for shard, pos in read.items() if self.keeper.held.get(shard) == held[shard]}
        if not clean:
            return
        self._clean.update(clean)
        for name, sender in self._senders.items():
            if shard_of(name) in clean:
                sender.missed()
        try:
            behind = await destinations.behind(self._db)
            concerned = await destinations.concerned_since(self._db, self._suffix, min(clean.values()))
        except Exception:  # else they would count as looked at when this is tried again
            self._clean = {shard: pos for shard, pos in self._clean.items() if shard not in clean}
            raise
        self._wake(server for server in dict.fromkeys((*behind, *concerned)) if shard_of(server) in clean)

    async def _clean_on(self) -> None:
        while True:
            await pause(self._clock, CLEAN_INTERVAL_S)
            for room_id, key, edu in self.lane.typing_on(self._now_ms()):
                self._pass("room", room_id, key, edu)
            try:
                await self._move_clean()
            except DatabaseError as error:
                _log.warn("cannot note how far all have received: {error}", error=error)

    async def _move_clean(self) -> None:
        """What has been sorted is either received or noted in rows, once each sender has said so in its row."""
        pos, looks = self._sorted_to, self._looks
        notes = {sender: sender.notes for sender in self._senders.values() if not sender.is_noted}
        until = self._clock.seconds() + CLEAN_INTERVAL_S
        while not all(sender.is_noted or sender.notes > before for sender, before in notes.items()):
            if self._clock.seconds() >= until:
                return
            await pause(self._clock, NOTED_LOOK_S)
        if not self._settling.is_settled or not self._clean or looks != self._looks:
            return
        terms = {shard: term for shard, term in self.keeper.held.items() if shard in self._clean}
        if not terms or all(self._clean[shard] >= pos for shard in terms):
            return
        await destinations.move_clean(self._db, terms, pos)
        self._clean.update((shard, max(pos, self._clean[shard])) for shard in terms if shard in self._clean)

    async def _give_up(self, shards: Collection[int]) -> None:
        self._clean = {shard: pos for shard, pos in self._clean.items() if shard not in shards}
        running = {*self._senders.values(), *self._ending}
        given = [sender for sender in running if shard_of(sender.destination) in shards]
        await gatherResults([Deferred.fromCoroutine(self._end(sender)) for sender in given], consumeErrors=True)

    async def _end(self, sender: DestinationSender) -> None:
        if self._senders.get(sender.destination) is sender:
            del self._senders[sender.destination]
            self.lane.forget(sender.destination)
        self._ending.add(sender)
        await sender.work.stop()
        self._ending.discard(sender)
