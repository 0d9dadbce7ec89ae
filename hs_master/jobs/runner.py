"""Runs the jobs that are noted in the database, one slice after the other, while this process leads.

Woken when a transaction has noted a job; looks at the table at its start, so what another leader left is taken up. A
slice that fails for the database's sake is tried again; a job that cannot be decided waits for the next leader.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, DeactivateUser
from hs_common.replication.clock import Clock, DelayedCall, pause
from hs_common.storage import jobs, key_backup, master_reads, room_deletion, threepids, user_directory
from hs_common.storage.queries import DatabaseError, Queries, Row
from hs_master import purge_tables
from hs_master.decisions.accounts import MEMBER_FIELDS
from hs_master.jobs.advance import AdvanceJob
from hs_master.jobs.carry_over import CarryOver, carried
from hs_master.jobs.delete_room import PURGING, EmptyRoom, PurgeRoom
from hs_master.jobs.ghosts import EndGhosts
from hs_master.jobs.guests import RemoveGuests
from hs_master.jobs.kinds import (
    CarryOverJob,
    DeactivationJob,
    DeleteRoomJob,
    GhostsJob,
    GuestsJob,
    ListMembersJob,
    RevealJob,
    UserJob,
    decode_job,
)
from hs_master.jobs.list_members import ListMembers, named
from hs_master.jobs.reveal import RevealRedactions
from hs_master.pipeline.intake import Busy
from hs_master.pipeline.pending import NotLeading

# Rooms, or guests of a room, in one slice: one item of a batch stays small, so others get their turn in between.
ROOMS_OF_A_SLICE: Final = 50
# Names in one slice: a row each.
MEMBERS_OF_A_SLICE: Final = 200
JOBS_AT_A_TIME: Final = 20
# Keys of a backup in one statement: some hundredths of a second.
KEYS_OF_A_SLICE: Final = 1_000
RETRY_S: Final = 1.0

_log = Logger()


class JobRunner:
    """Runs jobs until stopped."""

    def __init__(self, db: Queries, clock: Clock, submit: Callable[[Call], Awaitable[Answer]]) -> None:
        self._db = db
        self._clock = clock
        self._submit = submit
        self._running: Deferred[None] | None = None
        self._again = False
        self._stopped = False
        self._stuck: set[int] = set()
        self._waiting: dict[int, DelayedCall] = {}

    def start(self) -> None:
        self.wake()

    def stop(self) -> None:
        self._stopped = True
        for timer in self._waiting.values():
            timer.cancel()
        if self._running is not None:
            self._running.cancel()

    def wake(self) -> None:
        """A job was noted."""
        self._again = True
        if self._running is None and not self._stopped:
            running = self._running = Deferred.fromCoroutine(self._run())
            running.addErrback(lambda failure: failure.trap(CancelledError))
            running.addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None
        if self._again and not self._stopped:
            self.wake()

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._run_all()
            except (DatabaseError, NotLeading, Busy) as error:
                _log.warn("jobs have to wait: {error}", error=error)
                self._again = True
                await pause(self._clock, RETRY_S)

    async def _run_all(self) -> None:
        while rows := await self._next():
            for row in rows:
                try:
                    await self._slice(row)
                except (CancelledError, DatabaseError, NotLeading, Busy):
                    raise
                except MatrixError as error:
                    _log.error("job {job} is stuck: {error}", job=row[0], error=error)
                    self._stuck.add(row[0])
                except Exception:
                    _log.failure("job {job} is stuck by a bug", job=row[0])
                    self._stuck.add(row[0])

    async def _next(self) -> list[Row]:
        passed = {*self._stuck, *self._waiting}
        rows = await jobs.next_jobs(self._db, JOBS_AT_A_TIME + len(passed))
        return [row for row in rows if row[0] not in passed]

    async def _slice(self, row: Row) -> None:
        job_id, user_id, body, progress = row
        job = decode_job(bytes(body))
        if isinstance(job, GuestsJob):
            await self._guests(job_id, job.room_id, progress)
        elif isinstance(job, CarryOverJob):
            await self._carry_over(job_id, user_id, job, progress)
        elif isinstance(job, DeleteRoomJob):
            await self._delete_room(job_id, job, progress)
        elif isinstance(job, GhostsJob):
            await self._ghosts(job_id, job.service_id)
        elif isinstance(job, ListMembersJob):
            await self._list_members(job_id, job, progress)
        elif isinstance(job, RevealJob):
            await self._submit(RevealRedactions(job_id=job_id, room_id=job.room_id, target_ids=job.target_ids))
        else:
            await self._of_user(job_id, user_id, job, progress)

    async def _guests(self, job_id: int, room_id: str, progress: str) -> None:
        user_ids = await jobs.guests_of_room(self._db, room_id, progress, ROOMS_OF_A_SLICE)
        is_last = len(user_ids) < ROOMS_OF_A_SLICE
        await self._submit(RemoveGuests(job_id=job_id, room_id=room_id, user_ids=user_ids, is_last=is_last))

    async def _ghosts(self, job_id: int, service_id: str) -> None:
        """Together, so that they share commits; each notes a job of its own for leaving its rooms."""
        user_ids = await jobs.living_ghosts(self._db, service_id, ROOMS_OF_A_SLICE)
        calls = [DeactivateUser(user_id=user_id, erase=False) for user_id in user_ids]
        await gatherResults([Deferred.fromCoroutine(self._submitted(call)) for call in calls], consumeErrors=True)
        if not user_ids:
            await self._submit(EndGhosts(job_id=job_id))

    async def _submitted(self, call: Call) -> None:
        await self._submit(call)

    async def _carry_over(self, job_id: int, user_id: str, job: CarryOverJob, progress: str) -> None:
        event_type, _, state_key = progress.partition(" ")
        rows = await jobs.carried_over(self._db, job.old_room_id, (event_type, state_key), ROOMS_OF_A_SLICE)
        await self._submit(
            CarryOver(
                job_id=job_id,
                sender=user_id,
                room_id=job.room_id,
                events=carried(rows),
                progress=" ".join(rows[-1][:2]) if rows else progress,
                is_last=len(rows) < ROOMS_OF_A_SLICE,
            )
        )

    async def _delete_room(self, job_id: int, job: DeleteRoomJob, progress: str) -> None:
        if progress != PURGING:
            user_ids = await room_deletion.local_members(self._db, job.room_id, progress, ROOMS_OF_A_SLICE)
            await self._submit(
                EmptyRoom(
                    job_id=job_id,
                    room_id=job.room_id,
                    delete_id=job.delete_id,
                    user_ids=user_ids,
                    reason=job.reason,
                    is_last=len(user_ids) < ROOMS_OF_A_SLICE,
                    purge=job.purge,
                )
            )
            return
        left_ms = job.due_ms - await room_deletion.now_ms(self._db)
        if left_ms > 0:
            self._wait(job_id, left_ms / 1000)
            return
        stage = await self._stage(job.room_id)
        await self._submit(PurgeRoom(job_id=job_id, room_id=job.room_id, delete_id=job.delete_id, stage=stage))

    async def _stage(self, room_id: str) -> str | None:
        """The first table in which something of a room is left."""
        for table in purge_tables.ORDER:
            if await room_deletion.has_rows(self._db, table, room_id):
                return table
        return None

    def _wait(self, job_id: int, seconds: float) -> None:
        """Look at a job again after some time; the others go on meanwhile."""
        self._waiting[job_id] = self._clock.callLater(seconds, self._due, job_id)

    def _due(self, job_id: int) -> None:
        del self._waiting[job_id]
        self.wake()

    async def _list_members(self, job_id: int, job: ListMembersJob, progress: str) -> None:
        rows = await user_directory.remote_members(
            self._db, job.room_id, job.local_suffix, progress, MEMBERS_OF_A_SLICE
        )
        is_last = len(rows) < MEMBERS_OF_A_SLICE
        await self._submit(ListMembers(job_id=job_id, users=[named(row) for row in rows], is_last=is_last))

    async def _of_user(self, job_id: int, user_id: str, job: UserJob, progress: str) -> None:
        if isinstance(job, DeactivationJob):
            await self._drop_backup(user_id)
            await threepids.delete_threepids_of(self._db, user_id)
        memberships = ("join", "invite", "knock") if isinstance(job, DeactivationJob) else ("join",)
        room_ids = await jobs.rooms_of_user(self._db, user_id, memberships, progress, ROOMS_OF_A_SLICE)
        profile = await master_reads.profile(self._db, user_id)
        member: dict[str, str] = {field: orjson.loads(profile[field]) for field in MEMBER_FIELDS if field in profile}
        is_last = len(room_ids) < ROOMS_OF_A_SLICE
        await self._submit(
            AdvanceJob(job_id=job_id, user_id=user_id, job=job, room_ids=room_ids, profile=member, is_last=is_last)
        )

    async def _drop_backup(self, user_id: str) -> None:
        """Workers own these rows and those of identifiers, but nobody else writes those of a user who is gone."""
        while await key_backup.delete_some_of_user(self._db, user_id, KEYS_OF_A_SLICE) == KEYS_OF_A_SLICE:
            pass  # so many at a time, or others would wait for the disk
