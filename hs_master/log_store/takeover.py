"""How a process becomes the leader: PostgreSQL's lock, the sessions in the way, and the new epoch.

The lock wakes the next leader; the leader's row, locked FOR UPDATE, waits for the last write of the old one and keeps
every later one out. Positions of an epoch begin above the clock, so that no position ever means two things, not even
one that a lost or restored history gave out. Must not know batches.
"""

from datetime import datetime
from typing import NamedTuple

from hs_common.storage.connection import Connection
from hs_common.storage.queries import DatabaseUnavailable, Queries, StatementConflict
from hs_master.log_store.types import Candidate, Leadership, NotALeader

LEADER_LOCK = (0x76696164, 1)  # "viad", 1; the lock of migrations is number 2
LOCK_WAIT_MS = 10_000  # below statement_timeout; a standby repeats it
FENCE_WAIT_MS = 2_000  # a write takes milliseconds; one that holds the row longer is hung
FENCE_ATTEMPTS = 5
END_WAIT_MS = 5_000  # how long PostgreSQL may take to end a session
_PID_LOOKS = 3


class Backend(NamedTuple):
    """A session's process at the server. Its number alone may be another's after a restart."""

    pid: int
    started: datetime


async def check_server(session: Connection) -> Backend:
    """Refuses a server that a leader cannot write to, and a pooler in between. Answers who serves the session.

    Raises NotALeader with the reason.
    """
    pids = {(await session.fetch("SELECT pg_backend_pid()"))[0][0] for _ in range(_PID_LOOKS)}
    if len(pids) > 1:
        raise NotALeader(
            "a transaction-mode pooler stands between the master and PostgreSQL: locks would go to strangers. "
            "Give the master PostgreSQL's own address; workers may keep the pooler."
        )
    row = await session.fetch_one(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool, pid, backend_start"
        " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    )
    assert row is not None, "a session sees itself"
    if row[0]:
        raise NotALeader("PostgreSQL is a standby in recovery; give the master the primary's address.")
    if row[1]:
        raise NotALeader("PostgreSQL has default_transaction_read_only on; a master must be able to write.")
    return Backend(row[2], row[3])


async def try_lock(session: Connection, wait_ms: int) -> bool:
    """Waits up to `wait_ms` for the lock of leaders; whether the session has it."""
    try:
        await session.run(
            f"BEGIN; SET LOCAL lock_timeout = '{wait_ms}ms'; SELECT pg_advisory_lock(%s, %s); COMMIT", LEADER_LOCK
        )
    except StatementConflict:
        await session.run("ROLLBACK")
        return False
    return True


async def release_lock(session: Connection) -> None:
    """Lets a standby lead at once."""
    await session.run("SELECT pg_advisory_unlock(%s, %s)", LEADER_LOCK)


async def end_sessions_holding_the_lock(db: Queries, *, only: Backend | None = None, but: Backend | None = None) -> int:
    """Terminates the session that holds the lock of leaders: `only` if it is that backend, or not if it is `but`.

    Waits until it has ended, and with it its transaction. Answers how many there were (0 or 1).
    Raises DatabaseUnavailable when a session does not end.
    """
    rows = await db.fetch(
        "SELECT pg_terminate_backend(pid, %(wait)s) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = %(class)s AND objid = %(number)s AND objsubid = 2"
        " AND (%(only_pid)s::int IS NULL OR (pid, backend_start) = (%(only_pid)s, %(only_start)s))"
        " AND (%(but_pid)s::int IS NULL OR (pid, backend_start) <> (%(but_pid)s, %(but_start)s))",
        {
            "wait": END_WAIT_MS,
            "class": LEADER_LOCK[0],
            "number": LEADER_LOCK[1],
            "only_pid": only and only.pid,
            "only_start": only and only.started,
            "but_pid": but and but.pid,
            "but_start": but and but.started,
        },
    )
    if not all(ended for (ended,) in rows):
        raise DatabaseUnavailable("57014", f"a session did not end within {END_WAIT_MS} ms of being told to")
    return len(rows)


async def take_over(session: Connection, candidate: Candidate, stream_epoch: int, now_us: int) -> Leadership:
    """The new epoch, in one transaction; the session holds the lock. Raises NotALeader, DatabaseUnavailable."""
    old_epoch, gate = await _lock_fence(session)
    try:
        if not candidate.oldest_format <= gate <= candidate.newest_format:
            raise NotALeader(
                f"the log is written in format {gate}; this program writes {candidate.oldest_format} to "
                f"{candidate.newest_format}. Start a version that knows it."
            )
        # Its own statement, after the lock: a new snapshot, which sees the old leader's last commit.
        row = await session.fetch_one(
            "SELECT COALESCE((SELECT max(pos) FROM outbox), 0), COALESCE((SELECT max(first) FROM epochs), 0),"
            " COALESCE((SELECT max(epoch) FROM epochs), 0)"
        )
        assert row is not None
        head, last_first, last_epoch = row
        first = max(head + 1, last_first + 1, now_us)
        epoch = max(old_epoch + 1, last_epoch + 1, stream_epoch + 1, first)
        await session.run(
            "UPDATE leader SET epoch = %(epoch)s, beat = 0, holder = %(holder)s, address = %(address)s;"
            " INSERT INTO epochs (epoch, prev, first, holder) VALUES (%(epoch)s, %(head)s, %(first)s, %(holder)s);"
            " COMMIT",
            {"epoch": epoch, "head": head, "first": first, "holder": candidate.member, "address": candidate.address},
        )
    except BaseException:
        if not session.closed:
            await session.run("ROLLBACK")
        raise
    return Leadership(epoch, first, head, gate)


async def _lock_fence(session: Connection) -> tuple[int, int]:
    """Begins a transaction that holds the leader's row; ends sessions that hold it for longer than a write takes."""
    for _ in range(FENCE_ATTEMPTS):
        try:
            row = await session.fetch_one(
                f"BEGIN; SET LOCAL lock_timeout = '{FENCE_WAIT_MS}ms'; SELECT epoch, format FROM leader FOR UPDATE"
            )
        except StatementConflict:
            await session.run("ROLLBACK")
            await _end_writers(session)
        else:
            assert row is not None, "the leader's row is made with the table"
            return row[0], row[1]
    raise DatabaseUnavailable("55P03", "the leader's row stays locked")


async def _end_writers(session: Connection) -> None:
    """Terminates the sessions that hold the leader's row: whoever only reads it holds a weaker lock on the table."""
    await session.fetch(
        "SELECT pg_terminate_backend(pid, %s) FROM pg_locks WHERE locktype = 'relation' AND granted"
        " AND relation = 'leader'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock')"
        " AND pid <> pg_backend_pid()",
        (END_WAIT_MS,),
    )
