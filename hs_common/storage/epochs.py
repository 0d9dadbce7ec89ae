"""The take-overs of the log: which positions were given out by a history that is lost. Reads only."""

from hs_common.storage.queries import Queries, Row


async def take_overs(db: Queries) -> list[Row]:
    """(prev, first) of each: the head that it found, and the first position that it gave out."""
    return await db.fetch("SELECT prev, first FROM epochs ORDER BY first")
