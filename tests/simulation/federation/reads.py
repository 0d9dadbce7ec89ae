"""A process' way to the statements of its server's database."""

from typing import Any

from twisted.internet.defer import Deferred

from hs_common.storage.queries import CONNECTION_LOST, Arguments, DatabaseUnavailable, Row
from tests.simulation.federation.statements import STATEMENTS, Answerer
from tests.simulation.session import Road


class FederationReads:
    """`Queries` of one process."""

    def __init__(self, road: Road) -> None:
        self._process = road.process
        self._database = road.database
        self._latency = road.latency

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        answerer = STATEMENTS.get(sql)
        assert answerer is not None, f"no simulated server reads by {sql}"
        given: Any = args if isinstance(args, dict) else list(args)

        reply: Deferred[list[Row]] = Deferred()
        # Only who dies in between tells a second message on the way back from none: one is half of the work.
        self._process.callLater(self._latency(), self._arrive, answerer, given, reply)
        return await reply

    def _arrive(self, answerer: Answerer, args: Any, reply: "Deferred[list[Row]]") -> None:
        if self._database.away:
            reply.errback(DatabaseUnavailable(CONNECTION_LOST, "the database is away"))
        else:
            reply.callback(answerer(self._database, args))

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        rows = await self.fetch(sql, args)
        return rows[0] if rows else None

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        """Where the number counts, a statement answers a row for each that it touched."""
        return len(await self.fetch(sql, args))
