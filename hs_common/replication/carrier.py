"""What carries the log from the master to its followers, and what stands behind it: the interfaces.

A carrier is fast and may lose anything; the outbox is slow and loses nothing. Whatever a carrier drops, delays or
repeats, the follower's one test notices. Must not know who carries (Redis, memory, nobody) or where the outbox lives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hs_common.replication.entry import Entry


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log, with the epoch in which its entry was made."""

    epoch: int
    pos: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of the leader of `epoch`: the position of its last commit, and where it takes calls."""

    epoch: int
    head: int
    address: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of the outbox. `made_ms`: when it was committed, the master's wall clock. (0, 0, 0): no entry."""

    epoch: int
    pos: int
    made_ms: int


class OutboxReader(Protocol):
    """The log as Postgres holds it: the truth. Every method may raise when Postgres is away."""

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries above position `after`, by rising position, with their bodies."""

    async def head(self) -> Head:
        """The last entry."""


class Receiver(Protocol):
    """What a carrier delivers to."""

    def receive(self, entries: Sequence[Entry], beat: Beat | None) -> None:
        """Entries, and the last beat that was written *after* all of them and all that is still to come."""

    def someone_waits(self) -> bool:
        """Whether news should come at once; otherwise the carrier may take some milliseconds to save wake-ups."""


class Carrier(Protocol):
    """The follower's end of a carrier."""

    def start(self, receiver: Receiver, after: Position) -> None:
        """Begins to deliver what comes after `after`."""

    def hurry(self) -> None:
        """Somebody waits now: ends a pause that may be under way."""

    async def stop(self) -> None:
        """Delivers nothing more."""


EphemeralReceiver = Callable[[int, bytes], None]
"""Takes an ephemeral message: its counter and its body."""
