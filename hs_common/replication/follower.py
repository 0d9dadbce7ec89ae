"""A follower: keeps one process at the head of the log, whatever its carrier loses.

Rules: every source goes through the same test (verdict.py). A hole is read in the outbox; silence of the carrier means
reading the outbox at intervals; a lost history, or being too far behind, means dropping caches and a start at the head.
Entries are applied in one turn of the reactor each, subscribers in their order. What acts outside this server
(federation, application services, push) takes the follower as a wake-up and works from tables, by cursor; services are
sent what the log told only where that surely is all that the table holds.
Must not know what the items mean, what carries them, or where the outbox lives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.replication.carrier import Beat, Carrier, Head, OutboxReader, Position
from hs_common.replication.clock import Clock, DelayedCall
from hs_common.replication.entry import BrokenEntry, Entry, UnknownFormat, decode_body
from hs_common.replication.subscription import Subscription, hand_out, reset_all
from hs_common.replication.verdict import Verdict, judge, judge_beat, judge_page
from hs_common.replication.waiters import Waiters

SILENCE_SECONDS = 2.0  # two beats missed: the carrier is asked no longer, the outbox is
FIRST_POLL_SECONDS = 0.25  # how soon the outbox is read again in silence while something comes
LONGEST_POLL_SECONDS = 1.0  # and while nothing comes: 50 workers are then 50 index look-ups a second
POLL_GROWTH = 1.5
POLL_JITTER = 0.2  # share of the interval, so that workers do not ask in step
LONGEST_LAG_SECONDS = 86_400.0  # that is told: also of a follower that has heard nothing yet, whose lag has no end
PAGE_ENTRIES = 500  # entries of one outbox read: some milliseconds to apply
COLD_ENTRIES = 10_000  # to catch up more than this is dearer than to fill caches again
COLD_SECONDS = 60.0  # likewise, measured between the first entry missing and the head

_log = Logger()


@dataclass
class FollowerCounts:
    """What a follower has done so far, for metrics."""

    entries: int = 0
    repairs: int = 0  # holes found
    resets: int = 0  # starts at the head, the first one included
    outbox_reads: int = 0
    outbox_failures: int = 0
    subscriber_failures: int = 0


def nobody_waits() -> bool:
    """The answer of a process that has no long polls."""
    return False


def _ignore(pos: int) -> None:
    """For processes that need no call after an advance."""


class Follower:
    """One process's place in the log. `start` before anything else; `stop` ends every wait.

    `position` is what all subscribers have applied. `on_advance` is called with it once after each batch, when all of
    them are done. `on_fatal` is called once if the log is in a format that this code does not read; the follower has
    then stopped. `someone_waits` tells whether long polls wait for news.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        outbox: OutboxReader,
        subscriptions: Sequence[Subscription],
        on_fatal: Callable[[UnknownFormat], None],
        on_advance: Callable[[int], None] = _ignore,
        someone_waits: Callable[[], bool] = nobody_waits,
    ) -> None:
        self.position = Position(0, 0)
        self.highest_epoch = 0  # of anything heard: a leader below it is none
        self.leader_address = ""  # the last beat's hint
        self.counts = FollowerCounts()
        self._clock = clock
        self._random = random
        self._outbox = outbox
        self._subscriptions = list(subscriptions)
        self._on_fatal = on_fatal
        self._on_advance = on_advance
        self._long_polls_wait = someone_waits
        self._carrier: Carrier | None = None
        self._running = False
        self._cold = True  # the position is not known: nothing is applied
        self._wanted = 0  # the highest position heard of
        self._behind_since: float | None = None
        self._last_sign = float("-inf")  # when the carrier last showed a sign of life
        self._last_contact = float("-inf")  # when this follower last knew that nothing was missing
        self._reading = False
        self._read_again = False
        self._interval = FIRST_POLL_SECONDS
        self._timer: DelayedCall | None = None
        self._waiters = Waiters(clock)
        self._on_started: Deferred[None] | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self, carrier: Carrier | None) -> None:
        """Starts at the head that the outbox names, trying until it can be read. No carrier: the outbox is polled."""
        self._running = True
        self._carrier = carrier
        self._on_started = started = Deferred[None]()
        self.catch_up()
        await started
        if carrier is not None and self._running:
            carrier.start(self, self.position)

    async def stop(self) -> None:
        """Applies nothing more; whoever waits for a position is told that it was not reached."""
        self._halt()
        if self._carrier is not None:
            await self._carrier.stop()

    @property
    def is_live(self) -> bool:
        """False until the first start at the head, and while a lost history is being replaced."""
        return self._running and not self._cold

    def seconds_since_contact(self) -> float:
        """How long ago this follower last knew that nothing was missing; infinite before the first time."""
        return self._clock.seconds() - self._last_contact

    def lag_seconds(self) -> float:
        """How long this follower has known, or must suspect, that something is missing; 0 when at the head."""
        now = self._clock.seconds()
        behind = 0.0 if self._behind_since is None else now - self._behind_since
        quiet = now - self._last_contact
        lag = max(behind, quiet if quiet > SILENCE_SECONDS + LONGEST_POLL_SECONDS else 0.0)
        return min(lag, LONGEST_LAG_SECONDS)

    # --- waiting --------------------------------------------------------------------------------------------------

    @property
    def heard_of(self) -> int:
        """The highest position heard of, applied or not."""
        return self._wanted

    async def wait_for(self, pos: int, timeout: float) -> bool:
        """Waits until the position is at or above `pos`, at most `timeout` seconds. Returns whether it is."""
        if self._has(pos):
            return True
        self.hurry()
        if self._has(pos) or not self._running:  # what was hurried may already be here
            return self._has(pos)
        return await self._waiters.wait(pos, timeout)

    def _has(self, pos: int) -> bool:
        return self.is_live and self.position.pos >= pos

    def someone_waits(self) -> bool:
        """Whether the carrier should deliver at once."""
        return bool(self._waiters) or self._long_polls_wait()

    def catch_up(self) -> None:
        """Reads the outbox now, or again after the read under way: for who knows of a position ahead of this one."""
        self._read_again = True
        if self._running and not self._reading:
            Deferred.fromCoroutine(self._read_outbox())

    def hurry(self) -> None:
        """Somebody waits now for what may have come: a pause between two reads ends."""
        if self._is_silent():
            self.catch_up()
        elif self._carrier is not None:
            self._carrier.hurry()

    # --- what the carrier brings ----------------------------------------------------------------------------------

    def receive(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        """Takes entries in the order in which they were carried, and the beat that was written after all of them."""
        if not self._running:
            return
        try:
            before = self.position.pos
            for entry in entries:
                self._meet(entry)
            if beat is not None:
                self._meet_beat(beat)
            self._advanced(before)
        except UnknownFormat as error:
            self._fail(error)

    def _meet(self, entry: Entry) -> None:
        self._hear_of(entry.epoch, entry.pos)
        if self._cold:
            return  # the start at the head reads all of it
        verdict = judge(self.position.pos, entry.prev, entry.pos)
        if verdict is Verdict.APPLY and (entry.body is None or not self._apply(entry)):
            verdict = Verdict.HOLE
        self._obey(verdict)
        if verdict is Verdict.APPLY:
            self._last_sign = self._clock.seconds()

    def _meet_beat(self, beat: Beat) -> None:
        if beat.epoch < self.highest_epoch:
            return  # of a leader that is none: no sign of life of this log
        self._hear_of(beat.epoch, beat.head)
        self._last_sign = self._clock.seconds()
        self.leader_address = beat.address
        if self._cold:
            return
        verdict = judge_beat(self.position, beat)
        self._obey(verdict)
        if verdict is Verdict.IGNORE:
            self._last_contact = self._clock.seconds()

    def _obey(self, verdict: Verdict) -> None:
        if verdict is Verdict.LOST:
            self._cold = True
        if verdict is Verdict.LOST or verdict is Verdict.HOLE:
            self.counts.repairs += 1
            self.catch_up()

    def _hear_of(self, epoch: int, pos: int) -> None:
        self.highest_epoch = max(self.highest_epoch, epoch)
        if pos > max(self._wanted, self.position.pos):
            self._wanted = pos
            if self._behind_since is None:
                self._behind_since = self._clock.seconds()

    def _apply(self, entry: Entry) -> bool:
        """Hands the entry out and takes its position; False if its bytes are broken, then nothing happened."""
        try:
            body = decode_body(entry)
        except BrokenEntry as error:
            _log.error("{error}", error=error)
            return False
        self.counts.subscriber_failures += hand_out(self._subscriptions, entry, body)
        self.counts.entries += 1
        self.position = Position(entry.epoch, entry.pos)
        return True

    def _advanced(self, before: int) -> None:
        if self.position.pos >= self._wanted:
            self._behind_since = None
        if self.position.pos != before:
            self._on_advance(self.position.pos)
            self._waiters.wake(self.position.pos)

    # --- the outbox -----------------------------------------------------------------------------------------------

    async def _read_outbox(self) -> None:
        """Reads until nothing more is to be read, then sets the time of the next look."""
        self._reading = True
        try:
            await self._read_to_the_end()
        except UnknownFormat as error:
            self._fail(error)
        except Exception as error:
            self.counts.outbox_failures += 1
            _log.warn("the outbox cannot be read: {error}", error=error)
        finally:
            self._reading = False
        self._set_timer()

    async def _read_to_the_end(self) -> None:
        applied = 0
        while self._read_again and self._running:
            self._read_again = False
            began = self._clock.seconds()
            self.counts.outbox_reads += 1
            if self._cold or applied > COLD_ENTRIES:
                self._start_at(await self._outbox.head())
                applied = 0
            asked_after = self.position.pos
            page = await self._outbox.read(asked_after, PAGE_ENTRIES)
            if not self._running or self._cold:
                continue
            full = len(page) >= PAGE_ENTRIES
            if await self._must_restart(asked_after, page, full):
                self._cold = self._read_again = True
                continue
            applied += self._apply_page(page)
            self._read_again = self._read_again or full
            if not full and not self._cold:
                self._last_contact = max(self._last_contact, began)

    async def _must_restart(self, asked_after: int, page: Sequence[Entry], full: bool) -> bool:
        """Whether the page shows that this follower's history is lost, or too old to be worth catching up."""
        if page and not full:
            return False
        head = await self._outbox.head()
        if page:
            return head.made_ms - decode_body(page[0]).made_ms > COLD_SECONDS * 1000
        if head.pos == self.position.pos == asked_after:
            self._wanted = head.pos  # what was heard of beyond it is not in the log
        return head.pos < asked_after

    def _apply_page(self, page: Sequence[Entry]) -> int:
        before = self.position.pos
        verdict = judge_page(before, page)
        for entry in verdict.apply:
            if not self._apply(entry):
                raise BrokenEntry(f"the outbox holds no readable entry {entry.pos}")
        if verdict.restart:
            self._cold = self._read_again = True
        if verdict.apply:
            self._interval = FIRST_POLL_SECONDS
        self._advanced(before)
        return len(verdict.apply)

    def _start_at(self, head: Head) -> None:
        """Drops everything derived from the log and takes the head's position."""
        if not self._running:
            return
        self.position = Position(head.epoch, head.pos)
        self.highest_epoch = max(self.highest_epoch, head.epoch)
        self._wanted = head.pos
        self._cold = False
        self.counts.resets += 1
        reset_all(self._subscriptions, head.pos)
        self._on_advance(head.pos)
        self._waiters.wake(self.position.pos)
        self._tell_started()

    # --- silence --------------------------------------------------------------------------------------------------

    def _is_silent(self) -> bool:
        return self._carrier is None or self._clock.seconds() - self._last_sign >= SILENCE_SECONDS

    def _set_timer(self) -> None:
        """Sets the next look at the outbox: soon if something is missing, else when silence would have lasted."""
        if not self._running or self._reading:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._cold or self._behind_since is not None or self._is_silent():
            delay = self._interval * (1 + POLL_JITTER * (2 * self._random.random() - 1))
            self._interval = min(self._interval * POLL_GROWTH, LONGEST_POLL_SECONDS)
        else:
            self._interval = FIRST_POLL_SECONDS
            delay = self._last_sign + SILENCE_SECONDS - self._clock.seconds()
        self._timer = self._clock.callLater(delay, self._look)

    def _look(self) -> None:
        if self._cold or self._behind_since is not None or self._is_silent():
            self.catch_up()
        else:
            self._set_timer()

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, error: UnknownFormat) -> None:
        self._halt()
        self._on_fatal(error)

    def _halt(self) -> None:
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._waiters.abandon()
        self._tell_started()

    def _tell_started(self) -> None:
        started, self._on_started = self._on_started, None
        if started is not None:
            started.callback(None)
