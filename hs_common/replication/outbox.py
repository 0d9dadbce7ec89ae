"""The log as the database holds it, for a follower: what no carrier can lose."""

from collections.abc import Sequence

from hs_common.replication.carrier import Head
from hs_common.replication.entry import Entry
from hs_common.storage import log
from hs_common.storage.queries import Queries


class Outbox:
    """`OutboxReader` over PostgreSQL."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """See OutboxReader.read."""
        rows = await log.read(self._db, after, limit)
        return [Entry(epoch, pos, prev, format, bytes(body)) for pos, prev, epoch, format, body, _ in rows]

    async def head(self) -> Head:
        """See OutboxReader.head."""
        row = await log.last(self._db)
        return Head(0, 0, 0) if row is None else Head(row[0], row[1], row[2] // 1000)
