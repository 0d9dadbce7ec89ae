"""The log in memory, for simulation: the same contract as PostgreSQL's, with faults where a seed wants them.

`MemoryLog` is the database, shared by every process of a simulated world; `MemoryLogStore` is one process' session with
it. Rows are kept as written, per write's name: `log.rows["state"]`. Rules: nothing here waits for real time; a batch
that was sent and not answered may still arrive, until a take-over has waited for it. Must not know SQL.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from twisted.internet.defer import Deferred

from hs_common.storage.queries import CONNECTION_LOST, ENCODING_REFUSED, DatabaseUnavailable
from hs_master.log_store import encoding
from hs_master.log_store.types import (
    Answer,
    Batch,
    Candidate,
    Cell,
    Committed,
    Doubt,
    Entry,
    Fenced,
    Leadership,
    NotALeader,
    Observation,
    Outcome,
    Refused,
    Resolved,
    Write,
)

_US = 1_000_000
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


class Crashed(BaseException):
    """The simulated process has died here: nothing of it runs on. Not an Exception, so that nobody catches it."""


class Fault(Enum):
    """What befalls one commit. Freezing is a wait inside `Faults.befall`, crashing in there is raising `Crashed`."""

    NONE = auto()
    LOSE_REQUEST = auto()  # doubt, and it never arrives
    DELAY_REQUEST = auto()  # doubt, and it arrives later or never: a take-over finds out which
    LOSE_REPLY = auto()  # doubt, and it is committed
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()


class Faults(Protocol):
    """Chooses what befalls; a simulator's seed stands behind it."""

    async def befall(self, batch: Batch) -> Fault:
        """Called as a batch is sent. May wait (a frozen process)."""

    def arrives(self, batch: Batch) -> bool:
        """Whether a delayed batch arrives before the session that sent it ends."""


class NoFaults:
    async def befall(self, batch: Batch) -> Fault:
        return Fault.NONE

    def arrives(self, batch: Batch) -> bool:
        return False


class SeededFaults:
    """Each kind of fault with its chance; `random` answers a number in [0, 1) and comes from the seed."""

    def __init__(self, random: Callable[[], float], chances: Sequence[tuple[Fault, float]]) -> None:
        self._random = random
        self._chances = tuple(chances)

    async def befall(self, batch: Batch) -> Fault:
        drawn = self._random()
        for fault, chance in self._chances:
            if drawn < chance:
                return fault
            drawn -= chance
        return Fault.NONE

    def arrives(self, batch: Batch) -> bool:
        return self._random() < 0.5


class MemoryLog:
    """What PostgreSQL would hold. `now_us`: microseconds since 1970, by the database's clock."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self.outbox: list[Entry] = []
        self.batches: dict[int, str] = {}
        self.prevs: set[int] = set()
        self.epochs: list[tuple[int, int, int]] = []  # (epoch, prev, first)
        self.leader = Observation(0, 0, None, None, 1)
        self.answers: dict[bytes, Answer] = {}
        self.rows: dict[str, list[tuple[Cell, ...]]] = defaultdict(list)
        self.refused: list[tuple[bytes, str, str, bytes]] = []
        self.holder: MemoryLogStore | None = None
        self.waiting: deque[tuple[MemoryLogStore, Deferred[None]]] = deque()
        self.in_flight: list[tuple[MemoryLogStore, Batch]] = []

    @property
    def head(self) -> int:
        return self.outbox[-1].pos if self.outbox else 0

    def apply(self, batch: Batch) -> Outcome:
        """The transaction: all of the batch or nothing; its checks in the order of PostgreSQL's statements."""
        if batch.epoch != self.leader.epoch:
            return Fenced()
        if batch.pos in self.batches or batch.prev in self.prevs:
            return Doubt("somebody has written at this position")
        if batch.prev >= batch.pos:
            return Refused("23514", "a batch is above the one before it")
        repeated = [answer.key for answer in batch.answers if answer.key in self.answers]
        if repeated or len({answer.key for answer in batch.answers}) < len(batch.answers):
            return Refused("23505", "a key has been answered already")
        refused = _out_of_range(batch)
        if refused is not None:
            return refused
        self.outbox.append(Entry(batch.pos, batch.prev, batch.epoch, batch.format, batch.body, self.now_us()))
        self.batches[batch.pos] = batch.batch
        self.prevs.add(batch.prev)
        self.answers.update((answer.key, answer) for answer in batch.answers)
        for write, rows in batch.rows.items():
            self.rows[write.name].extend(tuple(row) for row in rows)
        return Committed()

    def end_session(self, store: "MemoryLogStore") -> None:
        """The session ends: its last transaction is decided, then its lock goes to who has waited longest."""
        store.connected = False
        mine = [batch for sender, batch in self.in_flight if sender is store]
        self.in_flight = [(sender, batch) for sender, batch in self.in_flight if sender is not store]
        for batch in mine:
            if store.faults.arrives(batch):
                self.apply(batch)
        self.waiting = deque(entry for entry in self.waiting if entry[0] is not store)
        if self.holder is store:
            self.holder = None
            self.grant()

    def grant(self) -> None:
        if self.holder is None and self.waiting:
            self.holder, granted = self.waiting.popleft()
            granted.callback(None)


class MemoryLogStore:
    """See `LogStore`. `writes` as for PostgreSQL; rows that it could not store are refused here too."""

    def __init__(self, log: MemoryLog, faults: Faults | None = None, writes: Sequence[Write] = ()) -> None:
        self.log = log
        self.faults: Faults = faults or NoFaults()
        self.connected = False
        self._writes = tuple(writes)
        self._candidate: Candidate | None = None
        self._stream_epoch = 0
        self._epoch = 0

    async def wait_for_lock(self) -> None:
        self._reconnect()
        granted: Deferred[None] = Deferred(lambda _: self.log.end_session(self))
        self.log.waiting.append((self, granted))
        self.log.grant()
        await granted

    async def take(self, candidate: Candidate, stream_epoch: int = 0) -> Leadership:
        self._candidate, self._stream_epoch = candidate, stream_epoch
        return self._take()

    async def beat(self) -> bool:
        self._check_connected()
        leader = self.log.leader
        if leader.epoch != self._epoch:
            return False
        self.log.leader = Observation(leader.epoch, leader.beat + 1, leader.holder, leader.address, leader.format)
        return True

    async def commit(self, batch: Batch) -> Outcome:
        try:
            encoding.transaction(batch, self._writes)
        except ValueError as error:
            return Refused(ENCODING_REFUSED, str(error))
        fault = await self.faults.befall(batch)
        if not self.connected:
            return Doubt("the session has ended")
        if fault is Fault.NONE:
            return self.log.apply(batch)
        if fault in (Fault.LOSE_REPLY, Fault.CRASH_AFTER):
            self.log.apply(batch)
        if fault is Fault.DELAY_REQUEST:
            self.log.in_flight.append((self, batch))
        if fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
            self.log.end_session(self)
            raise Crashed
        return Doubt(fault.name)

    async def resolve_doubt(self, batch: Batch) -> Resolved:
        self._reconnect()
        leadership = None
        if self.log.holder is None:
            self.log.holder = self
            leadership = self._take()
        return Resolved(self.log.batches.get(batch.pos) == batch.batch, leadership)

    async def release(self) -> None:
        self.log.end_session(self)

    async def observe(self) -> Observation:
        return self.log.leader

    async def dethrone(self) -> bool:
        holder = self.log.holder
        if holder is None or holder is self:
            return False
        self.log.end_session(holder)
        return True

    async def head(self) -> int:
        return self.log.head

    async def read(self, after: int, limit: int) -> list[Entry]:
        return [entry for entry in self.log.outbox if entry.pos > after][:limit]

    async def answers(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        return {key: self.log.answers[key] for key in keys if key in self.log.answers}

    async def refuse(self, key: bytes, sqlstate: str, message: str, item: bytes) -> None:
        self.log.refused.append((key, sqlstate, message, item))

    async def prune(self, keep_s: float) -> int:
        outbox, oldest = self.log.outbox, self.log.now_us() - int(keep_s * _US)
        kept = [entry for entry in outbox[:-1] if entry.made_us >= oldest] + outbox[-1:]
        self.log.outbox = kept
        return len(outbox) - len(kept)

    def _take(self) -> Leadership:
        self._check_connected()
        assert self._candidate is not None, "a doubt follows take"
        assert self.log.holder is self, "take follows wait_for_lock"
        log, candidate = self.log, self._candidate
        if not candidate.oldest_format <= log.leader.format <= candidate.newest_format:
            raise NotALeader(f"the log is written in format {log.leader.format}")
        first = max(log.head + 1, max((first for _, _, first in log.epochs), default=0) + 1, log.now_us())
        self._epoch = max(log.leader.epoch + 1, self._stream_epoch + 1, first)
        log.epochs.append((self._epoch, log.head, first))
        log.leader = Observation(self._epoch, 0, candidate.member, candidate.address, log.leader.format)
        return Leadership(self._epoch, first, log.head, log.leader.format)

    def _reconnect(self) -> None:
        self.log.end_session(self)
        self.connected = True

    def _check_connected(self) -> None:
        if not self.connected:
            raise DatabaseUnavailable(CONNECTION_LOST, "the session has ended")


def _out_of_range(batch: Batch) -> Refused | None:
    """Integers that do not fit their column."""
    for write, rows in batch.rows.items():
        for index, (name, kind) in enumerate(write.columns):
            limit = _INTEGERS.get(kind)
            cells = (row[index] for row in rows)
            if limit and any(isinstance(cell, int) and not -limit <= cell < limit for cell in cells):
                return Refused("22003", f"{write.name}.{name} is out of range for {kind}")
    return None
