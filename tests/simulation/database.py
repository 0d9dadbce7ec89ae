"""The database of a world: the log in memory, what else its writes leave, and what can befall a database.

`history` keeps all that was ever done here, also what a fail-over lost, for the checkers. Rules: a fail-over loses the
last acts, the taking of an epoch included, and all sessions with them; a batch of a session that has ended may arrive
late, when another process leads already, and the fence is all that keeps it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hs_common.storage.queries import CONNECTION_LOST, DatabaseUnavailable
from hs_master.log_store.memory import MemoryLog, MemoryLogStore
from hs_master.log_store.types import Batch, Committed, Entry, Observation, Outcome
from tests.simulation.clock import VirtualClock
from tests.simulation.tables import Broken, Tables

# How late a batch may arrive: before its sender knows more, before a new leader's first commit, when it leads for long.
_ARRIVALS_S = (0.002, 0.01, 3.0)


@dataclass(frozen=True, slots=True)
class Taken:
    """An epoch was taken."""

    leader: Observation
    row: tuple[int, int, int]  # (epoch, prev, first)


@dataclass(slots=True)
class Written:
    """A batch was committed, when `highest_epoch` was the highest ever taken. `lost`: a fail-over lost it."""

    batch: Batch
    entry: Entry
    highest_epoch: int
    lost: bool = False


class SimulatedLog(MemoryLog):
    """See the module. `make_tables`: what the tables are that its writes leave."""

    def __init__(self, clock: VirtualClock, random: Random, make_tables: Callable[[], Tables] = Tables) -> None:
        super().__init__(lambda: int((clock.now + self.jump_s) * 1_000_000))
        self._make_tables = make_tables
        self.tables = make_tables()
        self.history: list[Written] = []
        self.broken: list[str] = []
        self.lost_tails = 0
        self.highest_epoch = 0
        self.jump_s = 0.0
        self.away = False  # it takes no connection and answers nothing
        self.on_commit: Callable[[Batch], None] = lambda batch: None
        self._acts: list[Taken | Written] = []
        self._random = random
        self._clock = clock
        self._incarnation = 0
        self._forgotten = 0  # entries up to here were pruned

    @property
    def kept(self) -> list[Batch]:
        """What the log holds now, from its beginning: the outbox may be pruned."""
        return [written.batch for written in self.history if not written.lost]

    def lost_before(self, pos: int) -> int | None:
        """The head that survived below a position of a lost history; None for any other position."""
        return min((prev for _, prev, first in self.epochs if prev < pos < first), default=None)

    def holds(self, pos: int) -> bool:
        """Whether the position is one of a batch that is in the log."""
        for batch in reversed(self.kept):
            if batch.pos < pos:
                return False
            if batch.prev < pos:
                return self.lost_before(pos) is None  # else between two epochs
        return False

    def note_taken(self) -> None:
        """To be called when an epoch was taken."""
        self._acts.append(Taken(self.leader, self.epochs[-1]))
        self.highest_epoch = max(self.highest_epoch, self.leader.epoch)

    def apply(self, batch: Batch) -> Outcome:
        outcome = super().apply(batch)
        if isinstance(outcome, Committed):
            written = Written(batch, self.outbox[-1], self.highest_epoch)
            self.history.append(written)
            self._acts.append(written)
            self._write_tables(batch)
            self.on_commit(batch)
        return outcome

    def _write_tables(self, batch: Batch) -> None:
        try:
            self.tables.write(batch.rows)
        except Broken as error:
            self.broken.append(f"batch at {batch.pos}: {error}")

    def end_session(self, store: MemoryLogStore) -> None:
        late = [(sender, batch) for sender, batch in self.in_flight if sender is store and self._random.random() < 0.5]
        self.in_flight = [entry for entry in self.in_flight if entry not in late]
        for _, batch in late:
            after = self._random.choice(_ARRIVALS_S) * self._random.random()
            self._clock.callLater(after, self._arrive_late, batch, self._incarnation)
        super().end_session(store)

    def _arrive_late(self, batch: Batch, incarnation: int) -> None:
        if incarnation == self._incarnation:  # else on its way to a machine that is gone
            self.apply(batch)

    # --- what befalls a database ---

    def end_all_sessions(self) -> None:
        """It restarts: everybody has to connect again, and stand in line for the lock again."""
        waiting = [granted for _, granted in self.waiting]
        self.waiting.clear()
        sessions = [sender for sender, _ in self.in_flight]
        if self.holder is not None:
            sessions.append(self.holder)
        for store in sessions:
            self.end_session(store)
        for granted in waiting:
            granted.errback(DatabaseUnavailable(CONNECTION_LOST, "the database restarts"))

    def fail_over(self, acts: int) -> None:
        """Another machine goes on, without the last acts."""
        self.end_all_sessions()
        self._incarnation += 1
        self.lost_tails += 1
        for act in self._acts[max(0, len(self._acts) - acts) :]:
            if isinstance(act, Written):
                act.lost = True
        del self._acts[max(0, len(self._acts) - acts) :]
        self._rebuild()

    def _rebuild(self) -> None:
        written = [act for act in self._acts if isinstance(act, Written)]
        kept = [act.batch for act in written]
        taken = [act for act in self._acts if isinstance(act, Taken)]
        entries = [act.entry for act in written]
        self.outbox = [entry for entry in entries if entry.pos > self._forgotten] or entries[-1:]
        self.batches = {batch.pos: batch.batch for batch in kept}
        self.prevs = {batch.prev for batch in kept}
        self.answers = {answer.key: answer for batch in kept for answer in batch.answers}
        self.epochs = [act.row for act in taken]
        self.leader = taken[-1].leader if taken else Observation(0, 0, None, None, 1)
        self.tables = self._make_tables()
        for batch in kept:
            self._write_tables(batch)

    def forget_entries(self, keep: int) -> None:
        """Only the last entries are left in the outbox."""
        if len(self.outbox) > keep:
            self._forgotten = self.outbox[-keep - 1].pos
            self.outbox = self.outbox[-keep:]
