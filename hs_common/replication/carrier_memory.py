"""The carrier of the all-in-one process: hands entries to followers in the same process, in a reactor turn of its own.

Rules: bounded; what does not fit is dropped with all that waits, and followers read the outbox, as with Redis. Never
delivers inside the call that publishes. With `Faults` it loses, delays and repeats by seed, so that tests of anything
built on it exercise repair. Must not know what entries hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hs_common.replication.carrier import Beat, EphemeralReceiver, Position, Receiver
from hs_common.replication.clock import Clock, DelayedCall
from hs_common.replication.entry import Entry
from hs_common.replication.names import BEAT_INTERVAL, QUEUE_BYTES, QUEUE_ENTRIES

TYPICAL_DELAY_SECONDS = 0.05  # of a delayed entry; the longest is twenty times as much


@dataclass(frozen=True)
class Faults:
    """What goes wrong, each with its probability for one delivery to one follower."""

    random: Random
    drop: float = 0.1
    delay: float = 0.1
    repeat: float = 0.1
    lose_tail: float = 0.02  # everything that waits at this moment


class MemoryCarrier:
    """Both ends of the carrier. `leader` gives the beat to send, or None while this process does not lead.

    `faults` may be changed at any time.
    """

    def __init__(self, clock: Clock, leader: Callable[[], Beat | None], faults: Faults | None = None) -> None:
        self.overflows = 0
        self._clock = clock
        self._leader = leader
        self.faults = faults
        self._receivers: list[Receiver] = []
        self._ephemeral_receivers: list[EphemeralReceiver] = []
        self._queue: list[Entry] = []
        self._queue_bytes = 0
        self._messages: list[tuple[int, bytes]] = []
        self._delivery: DelayedCall | None = None
        self._beat: DelayedCall | None = None

    # --- the master's end -----------------------------------------------------------------------------------------

    def publish(self, entry: Entry) -> None:
        """Offers a committed entry to every follower."""
        size = len(entry.body or b"")
        if len(self._queue) >= QUEUE_ENTRIES or self._queue_bytes + size > QUEUE_BYTES:
            self.overflows += 1
            self._empty()
        self._queue.append(entry)
        self._queue_bytes += size
        self._deliver_soon()

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        """Offers an ephemeral message to every ephemeral receiver."""
        if len(self._messages) >= QUEUE_ENTRIES:
            self._messages.clear()  # values, told again later
        self._messages.append((counter, body))
        self._deliver_soon()

    # --- the followers' end ---------------------------------------------------------------------------------------

    def start(self, receiver: Receiver, after: Position) -> None:
        """Delivers to one more follower. `after` is not needed: what it has already, it ignores."""
        self._receivers.append(receiver)
        if self._beat is None:
            self._beat = self._clock.callLater(BEAT_INTERVAL, self._send_beat)

    def listen(self, receiver: EphemeralReceiver) -> None:
        """Delivers ephemeral messages to one more receiver."""
        self._ephemeral_receivers.append(receiver)

    def hurry(self) -> None:
        """Nothing here ever pauses."""

    async def stop(self) -> None:
        """Delivers nothing more, to anybody: all followers of a process end together."""
        self._receivers.clear()
        self._ephemeral_receivers.clear()
        self._empty()
        for call in (self._delivery, self._beat):
            if call is not None and call.active():
                call.cancel()

    # --- delivery -------------------------------------------------------------------------------------------------

    def _deliver_soon(self) -> None:
        if self._delivery is None or not self._delivery.active():
            self._delivery = self._clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        entries, messages = self._queue, self._messages
        self._messages = []
        self._empty()
        if self.faults is not None and self.faults.random.random() < self.faults.lose_tail:
            entries = []
        for receiver in self._receivers:
            receiver.receive(entries if self.faults is None else self._spoil(receiver, entries, self.faults), None)
        for counter, body in messages:
            for take in self._ephemeral_receivers:
                take(counter, body)

    def _send_beat(self) -> None:
        self._beat = self._clock.callLater(BEAT_INTERVAL, self._send_beat)
        self._deliver()  # a beat comes after the entries before it
        beat = self._leader()
        if beat is not None:
            for receiver in self._receivers:
                receiver.receive([], beat)

    def _spoil(self, receiver: Receiver, entries: list[Entry], faults: Faults) -> list[Entry]:
        arriving: list[Entry] = []
        for entry in entries:
            if faults.random.random() < faults.drop:
                continue
            if faults.random.random() < faults.delay:
                self._delay(receiver, entry, faults)
                continue
            arriving.append(entry)
            if faults.random.random() < faults.repeat:
                arriving.append(entry)
                self._delay(receiver, entry, faults)
        return arriving

    def _delay(self, receiver: Receiver, entry: Entry, faults: Faults) -> None:
        delay = TYPICAL_DELAY_SECONDS * min(20.0, faults.random.expovariate(1.0))
        self._clock.callLater(delay, receiver.receive, [entry], None)

    def _empty(self) -> None:
        self._queue = []
        self._queue_bytes = 0
