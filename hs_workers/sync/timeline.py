"""A room's timeline in an answer: read backwards from the end of its window until enough is found. Pure.

A timeline never crosses a gap, nor goes on into history that was found later: both lie behind `floor` or under an event
with an order_sub below 0, and a client gets there by /messages. What a filter or the rules on visibility leave out is
read over, up to a bound.

Spec: client-server API, #syncing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from hs_common.matrix.client_event import fragment
from hs_common.matrix.event import Event
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.tokens import RoomToken
from hs_workers.sync.windows import Window

# Events of one room that are looked at for one answer. A filter for a rare type would read the room's whole history.
MAXIMUM_SCANNED: Final = 500
# Events in the timelines of one answer together: at some 1 KiB each, what one answer may hold in memory.
MAXIMUM_EVENTS: Final = 20_000
# Events that are looked at for one answer, all rooms together: some seconds of the database and of this process.
MAXIMUM_SCANNED_TOGETHER: Final = 100_000


class TimelineEvent:
    """An event in its place. What is made of its JSON is made when first asked for, once."""

    __slots__ = ("_event", "_fragment", "_pdu", "is_withheld", "json", "row")

    def __init__(self, row: "TimelineRow", json: str | bytes) -> None:
        self.row = row
        self.json = json
        # Shown as if it were redacted: whoever sent it was erased before the reader could know it.
        self.is_withheld = False
        self._pdu: dict[str, Any] | None = None
        self._event: Event | None = None
        self._fragment: bytes | None = None

    @property
    def pdu(self) -> dict[str, Any]:
        """The event as federated; redacted if it is."""
        if self._pdu is None:
            self._pdu = orjson.loads(self.json)
        return self._pdu

    @property
    def content(self) -> dict[str, Any]:
        """The event's content."""
        content: dict[str, Any] = self.pdu["content"]
        return content

    def event(self, room_version: str) -> Event:
        """The event itself."""
        if self._event is None:
            version = ROOM_VERSIONS[room_version]
            shown = redact(self.pdu, version) if self.is_withheld else self.pdu
            self._event = Event.from_pdu(shown, version, self.row.event_id)
        return self._event

    def fragment(self, event: Event) -> bytes:
        """The open client JSON; `event` is what `event()` gave."""
        if self._fragment is None:
            self._fragment = fragment(event)
        return self._fragment


class TimelineRow(NamedTuple):
    """What is known of an event without decoding it."""

    room_id: str
    order_pos: int
    order_sub: int
    event_id: str
    sender: str
    type: str
    state_key: str | None
    origin_server_ts: int
    thread_root: str | None
    state_pos: int
    delta_id: int | None
    device_id: str | None
    txn_id: str | None
    replaces_state: str | None
    redacted_by: str | None


class Timeline(NamedTuple):
    """What is told of a timeline, oldest first. `start` is the position just before it."""

    window: Window
    events: list[TimelineEvent]
    limited: bool
    prev_batch: str
    start: int


class Shares(NamedTuple):
    """What each room of an answer may take at most: events told, and events looked at."""

    limit: int
    scanned: int


def shares(limit: int, rooms: int) -> Shares:
    """`limit` is what the client asked for; with many rooms each has less, but one event at least."""
    fair = Shares(max(1, MAXIMUM_EVENTS // max(1, rooms)), max(1, MAXIMUM_SCANNED_TOGETHER // max(1, rooms)))
    return Shares(min(limit, fair.limit), min(MAXIMUM_SCANNED, fair.scanned))


class Scan:
    """The reading of one window."""

    def __init__(self, window: Window, limit: int, floor: int = 0, scanned: int = MAXIMUM_SCANNED) -> None:
        """`floor`: the order_pos of the event behind the newest gap in the window, 0 without one. `scanned`: how many
        events are looked at at most."""
        self.window = window
        self.low = max(window.since, floor - 1)
        self.high = window.upto
        self.done = False
        self._limit = limit
        self._found: list[TimelineEvent] = []
        self._limited = floor > window.since
        self._maximum = scanned
        self._scanned = 0

    def take(self, events: Sequence[TimelineEvent], asked: int, accept: Callable[[TimelineEvent], bool]) -> None:
        """The next events downwards from `high`, of which `asked` were asked for."""
        for event in events:
            if event.row.order_sub != 0 or self._scanned == self._maximum:
                self._limited = self.done = True
                return
            wanted = accept(event)
            # What the filter leaves out makes no gap: clients drop what they know of a timeline that is limited.
            if wanted and len(self._found) == self._limit:
                self._limited = self.done = True
                return
            self._scanned += 1
            self.high = event.row.order_pos - 1
            if wanted:
                self._found.append(event)
        self.done = len(events) < asked

    def result(self) -> Timeline:
        """What was found."""
        if self._found:
            oldest = self._found[-1].row.order_pos
            prev_batch, start = RoomToken.before(oldest), oldest - 1
        else:
            # Where nothing was told of what there is, as with a limit of 0, the history begins where the window ends.
            is_cut = self._scanned or self._limited
            prev_batch = RoomToken.before(self.high + 1) if is_cut else RoomToken(self.low)
            start = self.window.upto
        return Timeline(self.window, self._found[::-1], self._limited, str(prev_batch), start)
