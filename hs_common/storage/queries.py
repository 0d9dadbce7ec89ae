"""What a storage function asks of the database: three methods, and nothing about connections.

A storage module has one function per statement, `async def f(db: Queries, …)`; whether `db` is the pool (each statement
on its own) or a transaction is the caller's decision. This file must not know how the statements travel.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]
Arguments = Sequence[object] | Mapping[str, object]


class Queries(Protocol):
    """Runs literal SQL with `%s` or `%(name)s` placeholders; every method raises `DatabaseError` or a kind of it.

    Values arrive as Python's own: bytea as `bytes`, jsonb decoded, timestamps with their zone. A list argument becomes
    an SQL array (`= ANY(%s)`), `bytes` a bytea.
    """

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        """Every row of the result."""

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        """The first row of the result, or None when there is none."""

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        """Runs the statement and answers how many rows it touched."""


class DatabaseError(Exception):
    """A statement failed. Raised as such it is a mistake of ours (unknown column, wrong type): a bug, never retried."""

    def __init__(self, sqlstate: str, message: str, constraint: str | None = None) -> None:
        super().__init__(f"{message.strip()} [{sqlstate}]")
        self.sqlstate = sqlstate
        self.message = message.strip()
        self.constraint = constraint
        """The constraint that was violated, by its name in the schema, where one was."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot serve now (connection, shutdown, resources, timeouts). A write may have happened or not."""


class StatementConflict(DatabaseError):
    """Two transactions met (deadlock, serialization, lock timeout): nothing happened, the same again may succeed."""


class StatementRefused(DatabaseError):
    """The values cannot be stored (not unique, out of range, too long): nothing happened, the same again will fail."""


CONNECTION_LOST = "08006"
ENCODING_REFUSED = "22021"
TOO_MANY_WAITING = "53300"

# What decides between the kinds is the SQLSTATE's class, its first two characters: failure rules, "one bad item".
_CLASSES: dict[str, type[DatabaseError]] = {
    "08": DatabaseUnavailable,  # connection
    "53": DatabaseUnavailable,  # disk, memory, connections
    "57": DatabaseUnavailable,  # operator: shutdown, statement timeout
    "58": DatabaseUnavailable,  # the system below the database
    "40": StatementConflict,  # deadlock, serialization
    "55": StatementConflict,  # lock not available
    "21": StatementRefused,  # cardinality
    "22": StatementRefused,  # data
    "23": StatementRefused,  # constraints
    "54": StatementRefused,  # program limits, as an index row too large
}


def error_for(sqlstate: str, message: str, constraint: str | None = None) -> DatabaseError:
    """The kind of `DatabaseError` that a five-character SQLSTATE stands for."""
    return _CLASSES.get(sqlstate[:2], DatabaseError)(sqlstate, message, constraint)
