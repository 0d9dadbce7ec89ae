"""Who leads: a standby that waits and watches, a leader that beats and knows when it is not one any more.

Two machines without I/O (`StillnessWatch`, `Claim`) and one driver (`Election`). Rules: no clocks of two machines are
compared and no lease holds a time; a standby acts on what stands still on its own monotonic clock while its own writes
go through; a leader whose last successful beat began too long ago does not answer before it has checked. Whatever goes
wrong here, the fence in the log keeps wrong writes out. Must not know calls, rooms or SQL.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from hs_common.replication.clock import Clock
from hs_common.storage.queries import DatabaseError
from hs_master.log_store.types import Batch, Candidate, Leadership, LogStore, NotALeader, Observation, Resolved

BEAT_INTERVAL_S = 1.0
STILL_LIMIT_S = 5.0  # five beats missed: hung, not slow
CLAIM_LIMIT_S = 4.0  # less than STILL_LIMIT_S: the old leader is silent before a new one speaks
OBSERVER_GAP_S = 2.5  # an observer that looked away for longer does not know what stood still
RETRY_S = 1.0  # between attempts to reach a database that is away


class StillnessWatch:
    """The standby's judgement whether the leader hangs."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = 0.0
        self._looked = 0.0

    def observed(self, now: float, leader: Observation) -> bool:
        """The leader's row as just read, after an own write went through; whether to dethrone."""
        if self._seen is None or self._seen != (leader.epoch, leader.beat) or now - self._looked > OBSERVER_GAP_S:
            self._since = now
        self._seen = (leader.epoch, leader.beat)
        self._looked = now
        return leader.holder is not None and now - self._since >= STILL_LIMIT_S

    def could_not_look(self) -> None:
        """The own write or the reading failed: the database is slow for everybody, and a take-over helps nobody."""
        self._seen = None


class Claim:
    """The leader's knowledge of itself: it leads for a while after a beat *began* that then succeeded."""

    def __init__(self) -> None:
        self._until: float | None = None

    def confirmed(self, began: float) -> None:
        """A beat, or the take-over, that began then has succeeded."""
        self._until = max(self._until or began, began + CLAIM_LIMIT_S)

    def given_up(self) -> None:
        """Fenced, or stepped down."""
        self._until = None

    def holds(self, now: float) -> bool:
        """Whether calls may be answered."""
        return self._until is not None and now <= self._until


class Election:
    """Drives one process between standby and leader.

    `lead()` returns when this process leads; `until_lost()` when it does no more: then `lead()` may be called again.
    `clock` calls later; `now` is a monotonic clock in seconds that also counts the time the machine slept, where there
    is such a clock (CLOCK_BOOTTIME). A reactor's own `seconds` is the wall clock, which jumps: give `now` beside it.
    `member_beat` writes the own row of `members`; `stream_epoch` answers the epoch of the last entry in Redis, 0 when
    that is not known.
    """

    def __init__(
        self,
        store: LogStore,
        candidate: Candidate,
        clock: Clock,
        member_beat: Callable[[], Awaitable[object]],
        stream_epoch: Callable[[], Awaitable[int]],
        say: Callable[[str], None] = lambda text: None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._now = now or clock.seconds
        self._store = store
        self._candidate = candidate
        self._clock = clock
        self._member_beat = member_beat
        self._stream_epoch = stream_epoch
        self._say = say
        self._claim = Claim()
        self._resolving = False
        self._beating: Deferred[None] | None = None
        self._lost: Deferred[str] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether a call may be answered now. The first thing that each call and each commit asks."""
        return self._claim.holds(self._now())

    async def lead(self) -> Leadership:
        """Stands by until this process leads; cancelled, it stands by no more. NotALeader: it cannot lead here."""
        while True:
            try:
                await self._stand_by()
                began = self._now()
                leadership = await self._store.take(self._candidate, await self._stream_epoch())
            except DatabaseError as error:
                self._say(f"cannot stand by: {error}")
                await self._sleep(RETRY_S)
            except NotALeader:
                await self._store.release()
                raise
            else:
                self._lost = Deferred()
                self._claim.confirmed(began)
                self._beating = Deferred.fromCoroutine(self._beat_on(self._lost))
                return leadership

    async def check(self) -> bool:
        """Beats now: whether this process still leads. For a call that finds `is_leader` false."""
        if self._lost is not None and not self._lost.called:
            await self._beat(self._lost)
        return self.is_leader

    async def resolve_doubt(self, batch: Batch) -> Resolved:
        """Ends a doubt, trying until the database answers; the claim lapses meanwhile. Announces a lost leadership."""
        self._resolving = True
        try:
            while True:
                began = self._now()
                try:
                    resolved = await self._store.resolve_doubt(batch)
                except DatabaseError as error:
                    self._say(f"a commit is in doubt: {error}")
                    await self._sleep(RETRY_S)
                else:
                    break
        finally:
            self._resolving = False
        if resolved.leadership is None:
            self._lose("another process took over while a commit was in doubt")
        else:
            self._claim.confirmed(began)
        return resolved

    def fenced(self) -> None:
        """A commit was fenced."""
        self._lose("a later epoch was taken by another process")

    async def until_lost(self) -> str:
        """Waits until this process, which leads, does no more; why."""
        lost: Deferred[str] = Deferred()
        assert self._lost is not None, "until_lost follows lead"

        def pass_on(reason: str) -> str:
            if not lost.called:
                lost.callback(reason)
            return reason

        self._lost.addCallback(pass_on)
        return await lost

    async def step_down(self) -> None:
        """The clean hand-over, once the last commit is done: a standby leads at once."""
        self._lose("stepped down")
        if self._beating is not None:
            self._beating.addErrback(_only_cancelled)
            self._beating.cancel()
        try:
            await self._store.release()
        except DatabaseError as error:
            self._say(f"the lock is let go with its connection: {error}")

    # Standing by.

    async def _stand_by(self) -> None:
        """Until the lock is ours, by waiting for it or by dethroning a leader that hangs."""
        watching = Deferred.fromCoroutine(self._watch())
        watching.addErrback(_only_cancelled)
        try:
            await self._store.wait_for_lock()
        except Exception:  # a cancellation too; not the clearing away of all, which may have closed `_watch` before
            watching.cancel()
            raise
        watching.cancel()

    async def _watch(self) -> None:
        """Never returns: it is cancelled when the lock is there."""
        watch = StillnessWatch()
        while True:
            await self._sleep(BEAT_INTERVAL_S)
            try:
                await self._member_beat()
                if watch.observed(self._now(), await self._store.observe()):
                    self._say("the leader's beat stands still: ending its session")
                    await self._store.dethrone()
                    watch = StillnessWatch()
            except DatabaseError:
                watch.could_not_look()

    # Leading.

    async def _beat_on(self, lost: "Deferred[str]") -> None:
        while not lost.called:
            await self._sleep(BEAT_INTERVAL_S)
            if not self._resolving:
                await self._beat(lost)

    async def _beat(self, lost: "Deferred[str]") -> None:
        """One beat of the leadership that `lost` ends."""
        began = self._now()
        try:
            leads = await self._store.beat()
        except DatabaseError as error:
            # The commit that met the same trouble resolves it; when there is none, the claim lapses and we stand by.
            if not lost.called and not self._resolving and not self.is_leader:
                self._lose(f"the database did not take the leader's beat: {error}")
            return
        if lost.called:
            return
        if leads:
            self._claim.confirmed(began)
        else:
            self.fenced()

    def _lose(self, reason: str) -> None:
        self._claim.given_up()
        if self._lost is not None and not self._lost.called:
            self._lost.callback(reason)

    def _sleep(self, seconds: float) -> "Deferred[None]":
        done: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._clock.callLater(seconds, done.callback, None)
        return done


def _only_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)  # anything else is a mistake of ours, and stays an error
