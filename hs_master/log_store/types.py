"""The seam between deciding and storing: what a batch is, and what can come of committing one.

Rules, the same for every store: positions grow and are never used twice, not even by a history that was lost; each
batch names the position before its own (`prev`), and nothing of an epoch commits after a later epoch was taken; an
outcome that is not known is `Doubt`, never a guess. The stores pass one contract suite. Must not know events or calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

Cell = bool | int | float | str | bytes | None
"""A value of a row. jsonb, uuid and timestamps travel as text of their type, or as an int that the SQL converts."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One bulk statement of a batch: `columns` are (name, PostgreSQL type); `sql` reads `unnest($1::type[], …)`.

    Column i of the rows arrives as `$i`, an array of its type. The statement is prepared once per session. A store is
    given its writes in the order in which they run.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    sql: str


class AnswerKind(IntEnum):
    """Who may repeat a call, which decides how long its answer is kept."""

    CALL = 0  # a worker, under a random id: 1 hour
    CLIENT = 1  # a client or a server, under its own transaction id: 24 hours


class Answer(NamedTuple):
    """What was answered to the call with this key (16 bytes), and the position of its commit."""

    key: bytes
    pos: int
    answer: bytes
    kind: AnswerKind = AnswerKind.CALL


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one transaction writes. `pos` is the last position in it, `prev` the last one before it."""

    epoch: int
    batch: str  # a random uuid, as text
    prev: int
    pos: int
    format: int
    body: bytes  # the entry, as followers get it
    answers: Sequence[Answer] = ()
    rows: Mapping[Write, Sequence[Sequence[Cell]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch is in the log, durably."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The batch is not in the log, because of something in it (SQLSTATE class 21, 22, 23, 54): halve and decide anew.

    Also when a statement of ours is wrong (class 42 and the like): decided alone, its item fails, and nothing else.
    """

    sqlstate: str
    message: str


@dataclass(frozen=True, slots=True)
class Fenced:
    """The batch is not in the log, and nothing of this epoch will be: a later one was taken. Step down."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The batch may be in the log or not. Nothing may be answered and nothing committed before `resolve_doubt`."""

    message: str


Outcome = Committed | Refused | Fenced | Doubt


class Entry(NamedTuple):
    """A row of the outbox; `made_us` is microseconds since 1970 by the database's clock."""

    pos: int
    prev: int
    epoch: int
    format: int
    body: bytes
    made_us: int


@dataclass(frozen=True, slots=True)
class Leadership:
    """What a take-over gives: commit with this `epoch`, begin at position `first`, the first `prev` is `head`."""

    epoch: int
    first: int
    head: int
    format: int  # the level at which entries are written: the gate


@dataclass(frozen=True, slots=True)
class Resolved:
    """How a doubt ended. `leadership` is the new one; None: somebody else leads, so step down."""

    committed: bool
    leadership: Leadership | None


@dataclass(frozen=True, slots=True)
class Observation:
    """The leader's row. epoch 0: nobody has ever led."""

    epoch: int
    beat: int
    holder: str | None
    address: str | None
    format: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who takes over: the process' id (a uuid, as text), where workers call it, the formats it can write."""

    member: str
    address: str
    oldest_format: int
    newest_format: int


class NotALeader(Exception):
    """This process cannot lead on this database; the message says why and what to do."""


class LogStore(Protocol):
    """The log, the answers and the rows, for the one process that writes them.

    `wait_for_lock`, `take`, `beat`, `commit`, `resolve_doubt` and `release` use the writing session, one after another
    in the order called; the others read beside it. DatabaseUnavailable may come from every method but `commit`.
    """

    async def wait_for_lock(self) -> None:
        """Waits, without limit, until this process holds the lock of leaders. Raises NotALeader."""

    async def take(self, candidate: Candidate, stream_epoch: int = 0) -> Leadership:
        """Takes a new epoch, higher than every one before and than `stream_epoch` (the last one seen in Redis).

        The lock must be held. When it returns nothing of an older epoch commits any more, and `head` is final.
        Raises NotALeader when the log's format is outside the candidate's.
        """

    async def beat(self) -> bool:
        """Shows that the leader lives, on the writing session; false: fenced."""

    async def commit(self, batch: Batch) -> Outcome:
        """Writes the batch in one transaction, in one round trip. Never raises for what the database does."""

    async def resolve_doubt(self, batch: Batch) -> Resolved:
        """Makes the outcome of a batch in doubt definite, by taking over from oneself."""

    async def release(self) -> None:
        """Lets the lock go, so that a standby leads at once. Nothing is committed after it."""

    async def observe(self) -> Observation:
        """The leader's row, as a standby watches it."""

    async def dethrone(self) -> bool:
        """Ends the session that holds the lock of leaders, if another process has it; whether there was one."""

    async def head(self) -> int:
        """The last position committed; 0 for an empty log."""

    async def read(self, after: int, limit: int) -> list[Entry]:
        """The first `limit` entries above position `after`, in order."""

    async def answers(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The stored answers among `keys`."""

    async def refuse(self, key: bytes, sqlstate: str, message: str, item: bytes) -> None:
        """Keeps an item that could not be stored, for the operator, outside the log."""

    async def prune(self, keep_s: float) -> int:
        """Deletes entries older than that, never the last one, and answers that nobody can ask for any more.

        Bounded: deletes some thousands at most and answers how many entries went; call it again while it does.
        """
