"""The processes of this server: each writes its own row and beats; others find the leader and workers of a role here.

Rules: a row says nothing about time. Who asks sees beats move, or stand still, on a clock of its own (`Freshness`): no
clocks of two machines are compared. `seen` is for people and for sweeping rows that nobody removed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries

BEAT_INTERVAL_S = 2.0
ABSENT_AFTER_S = 10.0  # five beats missed: gone, or so slow that it should get no work
AWAY_AFTER_S = 5.0  # two looks missed; what then looks dead is as likely to be coming back, as the observer is
SWEEP_AFTER_S = 24 * 3_600  # a row this old helps nobody, not even the one who reads what ran yesterday


@dataclass(frozen=True, slots=True)
class Member:
    """One process. `id` is a random uuid made at its start, as text; `lag_ms` how far its follower is behind."""

    id: str
    roles: tuple[str, ...]
    version: str
    oldest_format: int
    newest_format: int
    address: str
    http_port: int | None = None
    lag_ms: int = 0
    beat: int = 0


@dataclass(frozen=True, slots=True)
class LeaderAddress:
    """Where the leader is called, and its epoch: of two that claim to lead, the higher one does."""

    epoch: int
    holder: str
    address: str


async def register(db: Queries, member: Member) -> None:
    """Writes the process' row; again after it was swept or the database restored."""
    await db.execute(
        "INSERT INTO members (id, roles, version, oldest_format, newest_format, address, http_port, lag_ms)"
        " VALUES (%s, %s::text[], %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (id) DO UPDATE SET roles = excluded.roles, version = excluded.version,"
        " oldest_format = excluded.oldest_format, newest_format = excluded.newest_format,"
        " address = excluded.address, http_port = excluded.http_port, lag_ms = excluded.lag_ms,"
        " beat = members.beat + 1, seen = clock_timestamp()",
        (
            member.id,
            list(member.roles),
            member.version,
            member.oldest_format,
            member.newest_format,
            member.address,
            member.http_port,
            member.lag_ms,
        ),
    )


async def beat(db: Queries, member_id: str, lag_ms: int = 0) -> bool:
    """Shows that the process lives; false when its row is gone: register again."""
    return bool(
        await db.execute(
            "UPDATE members SET beat = beat + 1, lag_ms = %s, seen = clock_timestamp() WHERE id = %s",
            (lag_ms, member_id),
        )
    )


async def remove(db: Queries, member_id: str) -> None:
    """Takes the process' row away, as the last act of a clean stop."""
    await db.execute("DELETE FROM members WHERE id = %s", (member_id,))


async def sweep(db: Queries) -> int:
    """Deletes the rows of processes that have not been seen for `SWEEP_AFTER_S`. Answers how many."""
    return await db.execute(
        "DELETE FROM members WHERE seen < clock_timestamp() - make_interval(secs => %s)", (SWEEP_AFTER_S,)
    )


async def members(db: Queries) -> list[Member]:
    """Every row, living or not, in the order of ids."""
    rows = await db.fetch(
        "SELECT id::text, roles, version, oldest_format, newest_format, address, http_port, lag_ms, beat"
        " FROM members ORDER BY id"
    )
    return [Member(id, tuple(roles), *rest) for id, roles, *rest in rows]


async def find_leader(db: Queries) -> LeaderAddress | None:
    """Who leads by its row; None while nobody ever has. It may have died a moment ago: whoever calls it finds out."""
    row = await db.fetch_one(
        "SELECT epoch, holder::text, address FROM leader WHERE holder IS NOT NULL AND address IS NOT NULL"
    )
    return LeaderAddress(*row) if row is not None else None


class Freshness:
    """Which members live, judged by beats that move on the observer's own monotonic clock (`now`, in seconds).

    A member seen for the first time counts as living for `ABSENT_AFTER_S`. An observer that could not look for
    `AWAY_AFTER_S` starts afresh: it cannot know what stood still, and if the database was away nobody could beat.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._looked = now()
        self._beats: dict[str, tuple[int, float]] = {}

    def observe(self, found: Iterable[Member]) -> list[Member]:
        """Takes in the rows just read and answers those of living processes, in the given order."""
        now = self._now()
        if now - self._looked > AWAY_AFTER_S:
            self._beats.clear()
        self._looked = now
        before, self._beats, living = self._beats, {}, []
        for member in found:
            known = before.get(member.id)
            moved = now if known is None or known[0] != member.beat else known[1]
            self._beats[member.id] = (member.beat, moved)
            if now - moved <= ABSENT_AFTER_S:
                living.append(member)
        return living


def find_workers(living: Sequence[Member], role: str) -> list[Member]:
    """The living members that serve `role` over HTTP, in the given order."""
    return [member for member in living if role in member.roles and member.http_port is not None]
