"""Storage functions for commands, which have no reactor: the same statements over a connection that blocks."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg2

from hs_common.storage.queries import Arguments, Row

_Result = TypeVar("_Result")


class BlockingQueries:
    """One connection, in autocommit, that fulfils `Queries`: its coroutines never wait."""

    def __init__(self, url: str) -> None:
        """Raises psycopg2.OperationalError when the database cannot be reached."""
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        """All rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        """The first row, or None."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchone()

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        """The number of rows touched."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.rowcount

    def close(self) -> None:
        self._connection.close()


def finished(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of a coroutine that uses nothing but BlockingQueries."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _Result = end.value
        return result
    coroutine.close()
    raise AssertionError("a storage function waits for something else than its queries")
