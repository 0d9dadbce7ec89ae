"""A term of leadership: what exists while this process leads, built at the take-over and dropped whole at its end.

Nothing of an earlier term is kept: room heads are read anew, since another process may have written meanwhile.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.calls import Answer, Call
from hs_common.replication.clock import Clock, pause
from hs_common.replication.entry import Entry
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.appservice_files import Listed, register_listed
from hs_master.decisions.receiving import Preparing
from hs_master.decisions.table import deciders
from hs_master.desk import Desk
from hs_master.ephemeral import EphemeralDesk
from hs_master.jobs.delayed import DelayedEvents
from hs_master.jobs.runner import JobRunner
from hs_master.leadership import Election
from hs_master.log_store.types import AnswerKind, Leadership, LogStore
from hs_master.members import Members
from hs_master.pipeline.intake import Intake
from hs_master.pipeline.loop import WriterLoop
from hs_master.pipeline.pending import Terms
from hs_master.pipeline.rehearsal import Rehearse, nothing_ends
from hs_master.pipeline.writer import Writer, WriterMetrics
from hs_master.rooms.compose import Composer
from hs_master.rooms.needs import Loader
from hs_master.rooms.placing import Placer
from hs_master.rooms.resolving import Aside, Resolver, at_once
from hs_master.standing import Standing
from hs_master.step import Knowledge

# How long entries stay in the outbox: followers further behind start anew, and senders read tables, not entries.
OUTBOX_KEPT_S: Final = 3600.0
PRUNE_INTERVAL_S: Final = 60.0
JOBS: Final = Terms(lane="bulk", origin="jobs")

_log = Logger()


class Term:
    """Everything that a leader runs."""

    def __init__(
        self,
        *,
        leadership: Leadership,
        log: LogStore,
        election: Election,
        desk: Desk,
        db: Queries,
        clock: Clock,
        composer: Composer,
        server_name: str,
        publish: Callable[[Entry], None],
        on_new_epoch: Callable[[Leadership], None],
        ephemeral: EphemeralDesk,
        metrics: WriterMetrics,
        now_ms: Callable[[], int],
        new_batch_id: Callable[[], str],
        background: Callable[[str, Coroutine[Any, Any, None]], None],
        listed_services: Listed = (),
        aside: Aside = at_once,
        knowledge: Knowledge | None = None,
        rehearse: Rehearse = nothing_ends,
    ) -> None:
        """`knowledge`: what is known of rooms already, as of the leadership's head; None: nothing."""
        if knowledge is None:
            knowledge = Knowledge()
        self._loop = WriterLoop(clock, background)
        self._knowledge = knowledge
        loader = Loader(knowledge, db, server_name)
        preparing = Preparing(knowledge, loader, Placer(db, Resolver(db, aside)), server_name)
        self._intake = Intake(
            deciders(composer, server_name, preparing), loader, knowledge, db, wake=self._loop.wake,
            background=background, seconds=clock.seconds,
        )  # fmt: skip
        self.writer = Writer(
            log,
            leadership,
            self._intake,
            knowledge,
            publish=publish,
            resolve_doubt=election.resolve_doubt,
            now_ms=now_ms,
            seconds=clock.seconds,
            new_batch_id=new_batch_id,
            on_new_epoch=on_new_epoch,
            on_deposed=election.fenced,
            on_departed=ephemeral.departed,
            on_job=lambda: self.jobs.wake(),
            rehearse=rehearse,
        )
        self.writer.metrics = metrics
        self.jobs = JobRunner(db, clock, self._submit)
        self._standing = Standing(db)
        self._delayed = DelayedEvents(db, clock, self._submit, now_ms)
        self._db = db
        self._listed_services = listed_services
        self._desk = desk
        self._ephemeral = ephemeral
        self._log_store = log
        self._clock = clock
        self._pruning = Ongoing(clock, "pruning", self._prune)
        self._registering = Ongoing(clock, "registering the listed services", self._register_listed)

    @property
    def waiting(self) -> int:
        """Calls that wait to be decided."""
        return self._intake.waiting

    def start(self) -> None:
        self._loop.start(self.writer)
        self._desk.open(self._intake, self._ephemeral.take, self._standing, self._noticed)
        self._ephemeral.start(Members(self._knowledge, self._db))
        self.jobs.start()
        self._delayed.start()
        self._registering.start()
        self._pruning.start()

    async def stop(self) -> None:
        """Take no more calls, and let what is being written be written."""
        self._desk.close()
        self.jobs.stop()
        self._delayed.stop()
        self._ephemeral.stop()
        self._pruning.stop()
        self._registering.stop()
        await self.writer.close()

    def _noticed(self, call: Call) -> None:
        self._standing.answered(call)
        self._delayed.noticed(call)
        self._ephemeral.answered(call)

    async def _register_listed(self) -> None:
        await register_listed(self._db, self._clock, self._submit, self._listed_services)

    async def _submit(self, call: Call) -> Answer:
        return await self._intake.submit(call, None, AnswerKind.CALL, False, JOBS)

    async def _prune(self) -> None:
        while True:
            await pause(self._clock, PRUNE_INTERVAL_S)
            try:
                while await self._log_store.prune(OUTBOX_KEPT_S):
                    pass  # so many at a time, or commits would wait
            except DatabaseError as error:
                _log.warn("cannot prune the outbox now: {error}", error=error)
