"""Takes the log to its end for the shards that this process holds: judges what comes, and queues what is to be pushed.

Rules: what a judgement queues and how far it reached is one write, fenced by the shares' terms. What comes while the
process follows the log is judged from its items; after a pause (a start, a new share, a log begun anew, too much at
once) what was missed is read from the tables, from where each shard was judged to. Shards without news are noted as
judged at intervals: judging twice what notified nobody costs time only.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from hs_common.process.alarm import Alarm
from hs_common.process.ongoing import Ongoing
from hs_common.process.shares import ShareKeeper, Timing, shard_of
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.replication import items
from hs_common.replication.clock import Clock, pause
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from hs_common.storage import push_queue, pushers
from hs_common.storage.push_queue import QueuedPush
from hs_common.storage.queries import DatabaseError, Queries
from hs_workers.push.badges import Badges
from hs_workers.push.held_pushers import HeldPushers
from hs_workers.push.judging import Judging
from hs_workers.push.members import RoomMembers
from hs_workers.push.missed import missed
from hs_workers.push.seen import Seen, of_item
from hs_workers.push.senders import Senders

DUTY: Final = "push"
KINDS: Final = ("event", "membership", "receipt", "pushers", "devices", "user", "account_data", "room_deleted")
PUSHERS_CHANGE: Final = ("pushers", "user")
"""Of these, those after which somebody may have a pusher who had none: he set one, or is not locked any more."""
WAITING_LIMIT: Final = 20_000
"""Items that wait to be judged; beyond it they are dropped, and read from the tables when there is time."""
BATCH_ITEMS: Final = 200
"""Judged and written together: some tens of milliseconds."""
NOTE_S: Final = 10.0
"""How often it is noted how far shards without news are judged, and at most what a restart judges again."""
LOOK_S: Final = 1.0
"""How long nothing is looked at when nothing is heard."""
RETRY_S: Final = 1.0

_log = Logger()


class _Waiting(NamedTuple):
    pos: int
    item: items.Item


class LogJudge:
    """`members`: the living processes of the role by their ids; `position`: of the process' follower."""

    def __init__(
        self,
        *,
        db: Queries,
        clock: Clock,
        me: str,
        members: Callable[[], Collection[str]],
        position: Callable[[], int],
        held: HeldPushers,
        settings: ReaderSettings,
        badges: Badges,
        judging: Judging,
        senders: Senders,
        timing: Timing | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._position = position
        self._held = held
        self._settings = settings
        self._badges = badges
        self._judging = judging
        self._senders = senders
        self._waiting: list[_Waiting] = []
        self._news = Alarm(clock)
        self._lock = DeferredLock()
        self._terms: dict[int, int] = {}  # the shards that are judged up to `_judged_to`
        self._judged_to = 0
        self._noted = float("-inf")
        self._noted_to = 0
        self._resets = 0
        self._is_idle = False  # nobody here has a pusher, and all is judged: only that could change it
        self._is_rung = False
        self._members = RoomMembers(db, lambda: self._terms, lambda: self._judged_to)
        self._running = Ongoing(clock, "judging for pushers", self._run)
        self.keeper = ShareKeeper(db, clock, DUTY, me, members, self._news.ring, self._give_up, timing)

    # --- life ---

    def start(self) -> None:
        self.keeper.start()
        self._running.start()

    async def stop(self) -> None:
        """Ends pushes under way, and lets other workers go on."""
        await self.keeper.stop()
        self.abandon()

    def abandon(self) -> None:
        """Stops as if the process had died."""
        self.keeper.abandon()
        self._running.stop()
        self._senders.abandon()

    @property
    def waiting(self) -> int:
        """Items that are not judged yet."""
        return len(self._waiting)

    @property
    def judged_to(self) -> int:
        """The position up to which all is judged for the shards held."""
        return self._judged_to

    @property
    def shards(self) -> Collection[int]:
        """The shards that this process judges for."""
        return self._terms.keys()

    # --- what the log tells ---

    def subscription(self) -> Subscription:
        return Subscription("push", KINDS, self._apply, self._reset)

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        if self._is_idle and not any(one.kind in PUSHERS_CHANGE for one in batch):
            return
        self._is_idle = False
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.AccountDataItem):
                if item.room_id == "" and self._settings.changed(item.user_id, item.type):
                    self._badges.forget(item.user_id)
            elif (self._terms or self.keeper.held) and not (isinstance(item, items.DevicesItem) and not item.removed):
                self._waiting.append(_Waiting(one.pos, item))
        if len(self._waiting) > WAITING_LIMIT:
            _log.warn("more comes than can be judged at once; what is left out now is read later")
            self._reset(entry.pos)
        self._ring_soon()

    def _ring_soon(self) -> None:
        """In a turn of its own: then the process' position is that of what it has just been told."""
        if not self._is_rung:
            self._is_rung = True
            self._clock.callLater(0, self._ring)

    def _ring(self) -> None:
        self._is_rung = False
        self._news.ring()

    def _reset(self, pos: int) -> None:
        """Items were missed: every shard is caught up from where it was judged to."""
        self._waiting.clear()
        self._is_idle = False
        self._terms = {}
        self._resets += 1
        self._settings.forget()
        self._badges.forget_all()
        self._ring_soon()

    # --- the work ---

    async def _run(self) -> None:
        while True:
            await self._lock.acquire()
            try:
                more = await self._step()
            except DatabaseError as error:
                _log.warn("judging for pushers has to wait for the database: {error}", error=error)
                self._reset(self._judged_to)
                await pause(self._clock, RETRY_S)
                more = True
            except CancelledError:
                raise
            except Exception:
                _log.failure("judging for pushers failed, trying again from the tables")
                self._reset(self._judged_to)
                await pause(self._clock, RETRY_S)
                more = True
            finally:
                self._lock.release()
            if not more:
                await self._news.wait(LOOK_S)

    async def _step(self) -> bool:
        """Judges some of what waits; whether there is more. All that was handed out up to `reached` waits here."""
        batch, self._waiting = self._waiting[:BATCH_ITEMS], self._waiting[BATCH_ITEMS:]
        reached = batch[-1].pos if batch else 0
        if not self._waiting:
            reached = max(reached, self._position())
        self._drop_lost()
        if self._terms:
            await self._live(batch, reached)
        elif not self._waiting:
            self._judged_to = reached
        if not self._waiting:
            await self._adopt()
        if not (self._waiting or self._held) and self._terms == self.keeper.held:
            self._is_idle = True
            self._settings.forget()
            self._badges.forget_all()
        return bool(self._waiting)

    async def _live(self, batch: Sequence[_Waiting], reached: int) -> None:
        queued: list[QueuedPush] = []
        for pos, item in batch:
            if isinstance(item, items.PushersItem | items.DevicesItem | items.UserItem):
                await self._pushers_changed(item)
                continue
            if isinstance(item, items.RoomDeletedItem):
                self._members.forget_room(item.room_id)
                await push_queue.forget_deleted_rooms(self._db)
                continue
            seen: list[Seen] = list(of_item(pos, item))
            queued += await self._judging.judge(seen, self._members)
        await self._write(queued, self._terms, reached)
        self._judged_to = max(self._judged_to, reached)

    async def _write(self, queued: Sequence[QueuedPush], terms: dict[int, int], reached: int) -> None:
        now = self._clock.seconds()
        shards = [self._shard(row) for row in queued]
        noting = {shard: terms[shard] for shard in set(shards) & terms.keys()}
        if now - self._noted >= NOTE_S and len(self._held) and reached > self._noted_to:
            noting, self._noted, self._noted_to = terms, now, reached
        if not noting:
            return
        still = await push_queue.judged(self._db, noting, reached, queued, shards)
        self._lose([shard for shard in noting if shard not in still])
        for pusher_id in dict.fromkeys(
            row.pusher_id for row, shard in zip(queued, shards, strict=True) if shard in still
        ):
            self._wake(pusher_id)

    def _shard(self, row: QueuedPush) -> int:
        pusher = self._held.get(row.pusher_id)
        return -1 if pusher is None else shard_of(pusher.user_id)

    def _wake(self, pusher_id: int) -> None:
        pusher = self._held.get(pusher_id)
        if pusher is not None and shard_of(pusher.user_id) in self._terms:
            self._senders.wake(pusher, self._terms[shard_of(pusher.user_id)])

    # --- shares ---

    def _drop_lost(self) -> None:
        held = self.keeper.held
        self._lose([shard for shard, term in self._terms.items() if held.get(shard) != term])

    def _lose(self, shards: Collection[int]) -> None:
        """Another worker has these: nothing more is judged or pushed for them."""
        for shard in shards:
            self._terms.pop(shard, None)
        if shards:
            self._senders.lose(shards)
            for user_id in self._held.users(shards):
                self._badges.forget(user_id)
            self._held.drop(shards)
            self._members.forget()

    async def _adopt(self) -> None:
        """Takes on the shards that are held and not judged yet: what they missed is read from the tables."""
        new = {shard: term for shard, term in self.keeper.held.items() if shard not in self._terms}
        if not new:
            return
        self._is_idle = False  # from here on, what comes is judged from its items
        # Nothing waits: of what was handed out, nothing is left to be judged for the shards held before.
        self._judged_to = max(self._judged_to, self._position())
        upto, resets = self._judged_to, self._resets
        starts = await push_queue.claim(self._db, new)
        new = {shard: term for shard, term in new.items() if shard in starts}
        self._held.put(await pushers.pushing_of_shards(self._db, list(new)))
        members = RoomMembers(self._db, lambda: new, lambda: min(starts.values(), default=0))
        async for reached, seen in missed(self._db, self._held, starts, upto):
            await self._write_missed(await self._judging.judge(seen, members), new, starts, reached)
        if self._resets != resets:
            return  # what came meanwhile was dropped: everything is read again
        self._members.forget()
        self._terms.update({shard: term for shard, term in new.items() if self.keeper.held.get(shard) == term})
        await push_queue.forget_orphans(self._db)
        await push_queue.forget_deleted_rooms(self._db)
        for pusher_id in await push_queue.pushers_with_work(self._db, list(new)):
            self._wake(pusher_id)

    async def _write_missed(
        self, queued: Sequence[QueuedPush], new: dict[int, int], starts: dict[int, int], reached: int
    ) -> None:
        """Of what was judged for several shards together, each takes what is behind its own start."""
        behind = {shard: term for shard, term in new.items() if starts[shard] < reached}
        kept = [row for row in queued if starts.get(self._shard(row), reached) < row.pos]
        if behind:
            still = await push_queue.judged(self._db, behind, reached, kept, [self._shard(row) for row in kept])
            for shard in behind.keys() - still:
                del new[shard]

    async def _give_up(self, shards: Collection[int]) -> None:
        await self._lock.acquire()
        try:
            terms = {shard: self._terms[shard] for shard in shards if shard in self._terms}
            if terms:
                await push_queue.judged(self._db, terms, self._judged_to, [], [])
        except DatabaseError as error:
            _log.warn("what was judged last is judged again by another worker: {error}", error=error)
        finally:
            self._lock.release()
        await self._senders.finish(shards)
        self._lose(list(shards))

    # --- pushers ---

    async def _pushers_changed(self, item: items.PushersItem | items.DevicesItem | items.UserItem) -> None:
        users = {item.user_id}
        if isinstance(item, items.PushersItem) and item.taken is not None:
            users.update(self._held.having(*item.taken))
        for user_id in users:
            if shard_of(user_id) in self._terms:
                await self._read_pushers(user_id)

    async def _read_pushers(self, user_id: str) -> None:
        knew = user_id in self._held
        gone = self._held.replace(user_id, await pushers.pushing_of(self._db, user_id))
        if gone:
            self._senders.forget(gone)
            await push_queue.forget_orphans(self._db)
        for one in self._held.of(user_id):
            self._senders.changed(one)
        if not knew and user_id in self._held:
            await self._members.add_user(user_id)
        elif knew and user_id not in self._held:
            self._members.remove_user(user_id)
            self._badges.forget(user_id)
