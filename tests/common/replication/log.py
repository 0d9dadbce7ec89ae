"""A log for tests: a memory outbox with what Postgres can do to it, and a follower's subscriber that records."""

from collections.abc import Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred

from hs_common.replication import items
from hs_common.replication.carrier import Beat, Head, Position, Receiver
from hs_common.replication.clock import Clock, pause
from hs_common.replication.entry import Entry, EntryItem, decode_body, encode_body
from hs_common.replication.names import FORMAT
from hs_common.replication.subscription import Subscription

T = TypeVar("T")


class Away(Exception):
    """Postgres cannot be reached."""


class MemoryOutbox:
    """The outbox of one cluster. With a clock each read takes `read_seconds`, answering as of its beginning."""

    def __init__(self, clock: Clock | None = None, read_seconds: float = 0.002) -> None:
        self.rows: list[Entry] = []
        self.epoch = 1
        self.away = False
        self.reads = 0
        self._given = 0
        self._clock = clock
        self._read_seconds = read_seconds

    def commit(self, *alias_names: str, made_ms: int = 0, format: int = FORMAT) -> Entry:
        """One more entry with an item for each name."""
        prev = self.rows[-1].pos if self.rows else 0
        first = max(prev, self._given) + 1
        content = [
            (first + place, "alias", items.encode(items.AliasItem(name, "!r")))
            for place, name in enumerate(alias_names or ("#",))
        ]
        entry = Entry(self.epoch, content[-1][0], prev, format, encode_body(made_ms, content))
        self._given = entry.pos
        self.rows.append(entry)
        return entry

    def take_over(self) -> None:
        """A new leader: a higher epoch, and a first position above all that was ever given."""
        self.epoch += 1
        self._given += 1000

    def lose_tail(self, count: int) -> None:
        """A fail-over that lost the last entries, and the leader after it."""
        del self.rows[max(0, len(self.rows) - count) :]
        self.take_over()

    def beat(self) -> Beat:
        """What the leader says of itself now."""
        return Beat(self.epoch, self.rows[-1].pos if self.rows else 0, "master:1")

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        self.reads += 1
        page = [entry for entry in self.rows if entry.pos > after][:limit]
        await self._take_time()
        return page

    async def head(self) -> Head:
        last = self.rows[-1] if self.rows else None
        await self._take_time()
        return Head(0, 0, 0) if last is None else Head(last.epoch, last.pos, decode_body(last).made_ms)

    async def _take_time(self) -> None:
        if self.away:
            raise Away
        if self._clock is not None:
            await pause(self._clock, self._read_seconds)


class Recorder:
    """Derives from the log what a cache would: the aliases at its position, as a fill from the outbox plus changes."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self.names: list[str] = []
        self.resets = 0
        self._outbox = outbox

    def subscription(self) -> Subscription:
        return Subscription("recorder", {"alias"}, self.apply, self.reset)

    def apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        for item in batch:
            decoded = items.decode(item.kind, item.body)
            assert isinstance(decoded, items.AliasItem)
            self.names.append(decoded.alias)

    def reset(self, pos: int) -> None:
        self.resets += 1
        self.names = names_of([entry for entry in self._outbox.rows if entry.pos <= pos])


class StillCarrier:
    """Delivers only what the test puts in."""

    def __init__(self) -> None:
        self.after: Position | None = None
        self.hurried = 0

    def start(self, receiver: Receiver, after: Position) -> None:
        self.after = after

    def hurry(self) -> None:
        self.hurried += 1

    async def stop(self) -> None:
        self.after = None


def names_of(entries: Sequence[Entry]) -> list[str]:
    """What a fresh recorder holds after these entries."""
    names: list[str] = []
    for entry in entries:
        for item in decode_body(entry).items:
            decoded = items.decode(item.kind, item.body)
            assert isinstance(decoded, items.AliasItem)
            names.append(decoded.alias)
    return names


def outcome(deferred: Deferred[T]) -> list[object]:
    """The list that will hold the result, or the Failure."""
    result: list[object] = []
    deferred.addBoth(result.append)
    return result
