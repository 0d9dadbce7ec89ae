"""Holds a process' shares of a duty: takes what is its by rendezvous over the living members, renews, lets go.

Rules: rendezvous is advice, the row decides. A share may be taken when nobody holds it, or when its beat has stood
still for `expires_s` on this process' own clock. The holder starts nothing any more `fence_s` after the beginning of
its last renewal that succeeded; what it started before is kept harmless by terms and transaction ids.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from twisted.logger import Logger

from hs_common.process.ongoing import Ongoing
from hs_common.replication.clock import Clock, pause
from hs_common.storage import shares
from hs_common.storage.queries import DatabaseError, Queries
from hs_common.storage.shares import Share

SHARDS: Final = 256
"""Enough for 64 workers with at most a quarter of imbalance, few enough to read whole in a millisecond."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. Shorter only in tests."""

    look_s: float = 1.0
    renew_s: float = 2.0
    fence_s: float = 6.0
    expires_s: float = 10.0
    steady_s: float = 5.0  # how long the members must have been the same before a share is handed over


def shard_of(target: str) -> int:
    """The shard that a target of a duty belongs to, the same for ever."""
    return blake2b(target.encode(), digest_size=1).digest()[0]


def chosen(shard: int, members: Collection[str]) -> str | None:
    """Which of the members should hold the shard: few change hands when a member comes or goes."""
    return max(members, key=lambda member: blake2b(f"{shard} {member}".encode(), digest_size=8).digest(), default=None)


class ShareKeeper:
    """The shares of one duty that this process, the member `me`, holds: `held` is shard → term.

    `members`: the living processes that share the duty; `me` counts always. `on_change` is called after `held` changed;
    `give_up` is awaited before shares are let go, and ends what is under way for them.
    """

    def __init__(
        self,
        db: Queries,
        clock: Clock,
        duty: str,
        me: str,
        members: Callable[[], Collection[str]],
        on_change: Callable[[], None],
        give_up: Callable[[Collection[int]], Awaitable[None]],
        timing: Timing | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._duty = duty
        self._me = me
        self._members = members
        self._on_change = on_change
        self._give_up = give_up
        self._timing = timing or Timing()
        self.held: dict[int, int] = {}
        self._renewed = float("-inf")
        self._seen: dict[int, tuple[Share, float]] = {}
        self._looked = float("-inf")
        self._known_members: frozenset[str] = frozenset()
        self._steady_since = clock.seconds()
        self._looking = Ongoing(clock, f"holding shares of {duty}", self._run)

    def may_start(self) -> bool:
        """Whether something new may be started for the shares held."""
        return self._clock.seconds() - self._renewed < self._timing.fence_s

    def start(self) -> None:
        self._looking.start()

    async def stop(self) -> None:
        """Lets everything go, so that others go on at once."""
        self.abandon()
        held, self.held = set(self.held), {}
        await self._give_up(held)
        try:
            await shares.release(self._db, self._duty, self._me, sorted(held))
        except DatabaseError as error:
            _log.warn("shares of {duty} are free when they expire: {error}", duty=self._duty, error=error)

    def abandon(self) -> None:
        """Do nothing more, and leave the rows as they are."""
        self._looking.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except DatabaseError as error:
                _log.warn("shares of {duty} cannot be looked at: {error}", duty=self._duty, error=error)
            await pause(self._clock, self._timing.look_s)

    async def look(self) -> None:
        """One look: renew what is held, take what is mine and free, hand over what is another's."""
        now = self._clock.seconds()
        if now - self._renewed >= self._timing.renew_s:
            self._hold(await shares.renew(self._db, self._duty, self._me))
            self._renewed = now
        rows = await shares.shares(self._db, self._duty)
        expired = self._observe(rows, now)
        members = self._observe_members(now)
        mine = {row.shard for row in rows if chosen(row.shard, members) == self._me}
        free = [row for row in rows if row.shard in mine and (row.holder is None or row.shard in expired)]
        free = [row for row in free if row.shard not in self.held]
        if free:
            self._hold({**self.held, **await shares.take(self._db, self._duty, self._me, free)})
        others = sorted(self.held.keys() - mine)
        if others and now - self._steady_since >= self._timing.steady_s:
            self._hold({shard: term for shard, term in self.held.items() if shard in mine})
            await self._give_up(others)
            await shares.release(self._db, self._duty, self._me, others)

    def _hold(self, held: dict[int, int]) -> None:
        if held != self.held:
            self.held = held
            self._on_change()

    def _observe(self, rows: list[Share], now: float) -> set[int]:
        """The shards whose beat has stood still for long enough, this process having watched all the time."""
        if now - self._looked > self._timing.expires_s:
            self._seen.clear()
        self._looked = now
        for row in rows:
            seen = self._seen.get(row.shard)
            if seen is None or seen[0] != row:
                self._seen[row.shard] = (row, now)
        return {shard for shard, (_, since) in self._seen.items() if now - since >= self._timing.expires_s}

    def _observe_members(self, now: float) -> frozenset[str]:
        members = frozenset(self._members()) | {self._me}
        if members != self._known_members:
            self._known_members = members
            self._steady_since = now
        return members
