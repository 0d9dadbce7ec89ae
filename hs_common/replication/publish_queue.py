"""What the publisher keeps in mind: what still waits to be written to Redis, and what Redis should forget. Pure."""

from collections import deque

from hs_common.replication.entry import Entry, stream_id
from hs_common.replication.names import BODY_LIMIT, LOG_KEPT_BYTES, LOG_KEPT_SECONDS, QUEUE_BYTES, QUEUE_ENTRIES


class PublishQueue:
    """Entries that wait or are on their way. Bounded: when full it is emptied, and followers read the outbox."""

    def __init__(self) -> None:
        self.overflows = 0
        self._waiting: deque[Entry] = deque()
        self._flying: deque[int] = deque()  # sizes of entries written but not answered
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    def add(self, entry: Entry) -> None:
        """Puts an entry at the end; if it does not fit, all that waits is dropped, and it too if that is not enough."""
        if not self._fits(entry):
            self.overflows += 1
            self._bytes -= sum(map(_size, self._waiting))
            self._waiting.clear()
        if self._fits(entry):
            self._waiting.append(entry)
            self._bytes += _size(entry)

    def take(self) -> list[Entry]:
        """All that waits, in order; it counts as on its way from now on."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._flying.extend(map(_size, taken))
        return taken

    def answered(self) -> None:
        """Redis answered for the first entry on its way, if its connection still counts."""
        if self._flying:
            self._bytes -= self._flying.popleft()

    def lost(self) -> None:
        """The connection ended: nobody knows what became of the entries on their way, and nobody needs to."""
        self._bytes -= sum(self._flying)
        self._flying.clear()

    def _fits(self, entry: Entry) -> bool:
        return len(self) < QUEUE_ENTRIES and self._bytes + _size(entry) <= QUEUE_BYTES


class TrimPlan:
    """How much of the log's stream is still worth keeping."""

    def __init__(self, epoch: int, now: float) -> None:
        self._epoch = epoch
        self._started = now
        self._kept: deque[tuple[float, int, int]] = deque()  # (when written, position, size)
        self._bytes = 0
        self._last: bytes | None = None

    def written(self, entry: Entry, now: float) -> None:
        """An entry of this epoch was written to the stream."""
        self._kept.append((now, entry.pos, _size(entry)))
        self._bytes += _size(entry)

    def oldest_id(self, now: float) -> bytes | None:
        """The lowest id worth keeping, for XTRIM MINID; None if nothing is to be trimmed since the last time."""
        trimmed: int | None = None
        while self._kept and (self._kept[0][0] < now - LOG_KEPT_SECONDS or self._bytes > LOG_KEPT_BYTES):
            _, trimmed, size = self._kept.popleft()
            self._bytes -= size
        if trimmed is not None:
            self._last = stream_id(self._epoch, trimmed + 1)
            return self._last
        if self._last is None and now - self._started > LOG_KEPT_SECONDS:
            self._last = stream_id(self._epoch, 0)  # what epochs before this one left
            return self._last
        return None


def _size(entry: Entry) -> int:
    """Bytes that the entry takes in Redis: a body beyond the limit does not travel."""
    body = len(entry.body or b"")
    return body if body <= BODY_LIMIT else 0
