"""Connections to the outside, kept for the next request to the same place.

Rules: a place gets a bounded number of connections at once, and further requests wait in a bounded queue, on their own
time. A kept connection that the other side closed meanwhile is no failure where the request may be repeated: it is
sent once more on a new one. Idle connections go after some time, and the idlest when there are too many.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from hs_common.http.egress.answer import Answer
from hs_common.http.egress.connecting import Connector, Target
from hs_common.http.egress.connection import Connection, Limits
from hs_common.http.egress.failures import BrokenOff, Busy, TimedOut

CONNECTIONS_PER_TARGET: Final = 8
"""More at once to one server helps nobody: it would do the same work at the same time."""
WAITING_PER_TARGET: Final = 128
BUSY_CONNECTIONS: Final = 2_000
"""Of all places together, that are asked or being opened: a flood of requests to many places ends here, not where file
descriptors do."""
IDLE_CONNECTIONS: Final = 1_000
"""Of all places together; each is a file descriptor and, with TLS, some 50 KiB."""
IDLE_S: Final = 55.0
"""Below the minute after which reverse proxies close."""
SWEEP_S: Final = 10.0


class _Place:
    """What there is of one target."""

    __slots__ = ("busy", "idle", "waiting")

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.busy = 0
        self.waiting: deque[Deferred[None]] = deque()


class Pool:
    """All connections to the outside of a process. `reactor` is also the clock."""

    def __init__(self, reactor: Any, connector: Connector) -> None:
        self._clock = reactor
        self._connector = connector
        self._places: dict[Target, _Place] = {}
        self._sweeping: Any = None
        self._closed = False
        self._busy = 0

    async def ask(
        self, target: Target, question: bytes, limits: Limits, *, is_head: bool = False, is_repeatable: bool = False
    ) -> Answer:
        """The answer, its headers being here. Raises EgressError. The connection is held until the answer is read or
        closed."""
        ends_at = self._clock.seconds() + limits.total_s
        work = Deferred.fromCoroutine(self._ask(target, question, limits, ends_at, is_head, is_repeatable))
        work.addTimeout(limits.total_s, self._clock, _timed_out)
        return await work

    async def _ask(
        self, target: Target, question: bytes, limits: Limits, ends_at: float, is_head: bool, is_repeatable: bool
    ) -> Answer:
        await self._turn(target)
        place = self._places[target]
        if place.idle:
            connection = place.idle.pop()
            try:
                return await connection.ask(question, is_head=is_head, ends_at=ends_at, limits=limits)
            except BrokenOff:
                if not is_repeatable:
                    raise
            await self._turn(target)
        connection = await self._connect(target)
        return await connection.ask(question, is_head=is_head, ends_at=ends_at, limits=limits)

    async def _turn(self, target: Target) -> None:
        """Waits until one more request may go there; from then on it counts."""
        place = self._places.setdefault(target, _Place())
        if place.busy >= CONNECTIONS_PER_TARGET:
            if len(place.waiting) >= WAITING_PER_TARGET:
                raise Busy(f"too many requests to {target.host} wait already")
            turn: Deferred[None] = Deferred()
            place.waiting.append(turn)
            try:
                await turn  # whoever fires it hands its own turn on
            except CancelledError:
                if turn in place.waiting:
                    place.waiting.remove(turn)
                raise
        elif self._busy >= BUSY_CONNECTIONS:
            self._forget(target)
            raise Busy("too many requests to the outside are under way")
        else:
            place.busy += 1
            self._busy += 1

    async def _connect(self, target: Target) -> Connection:
        connection = Connection(
            self._clock, lambda free: self._free(target, free), lambda lost: self._lost(target, lost)
        )
        connected = False
        try:
            connection = await self._connector.connect(target, connection)
            connected = True
        finally:
            if not connected:
                self._release(target)
        return connection

    # What connections tell

    def _free(self, target: Target, connection: Connection) -> None:
        place = self._places[target]
        place.idle.append(connection)
        self._release(target)
        if self._closed or self.idle_count > IDLE_CONNECTIONS:
            self._idlest().abort()
        elif self._sweeping is None:
            self._sweeping = self._clock.callLater(SWEEP_S, self._sweep)

    def _lost(self, target: Target, connection: Connection) -> None:
        place = self._places.get(target)
        if place is not None and connection in place.idle:
            place.idle.remove(connection)
            self._forget(target)
        else:
            self._release(target)

    def _release(self, target: Target) -> None:
        """A request is over."""
        place = self._places[target]
        while place.waiting:
            turn = place.waiting.popleft()
            if not turn.called:
                turn.callback(None)
                return
        place.busy -= 1
        self._busy -= 1
        self._forget(target)

    def _forget(self, target: Target) -> None:
        place = self._places[target]
        if not (place.busy or place.idle or place.waiting):
            del self._places[target]

    # Idle ones

    @property
    def idle_count(self) -> int:
        """Connections that wait for a request."""
        return sum(len(place.idle) for place in self._places.values())

    def _idlest(self) -> Connection:
        return min((place.idle[0] for place in self._places.values() if place.idle), key=lambda one: one.idle_since)

    def _sweep(self) -> None:
        too_old = self._clock.seconds() - IDLE_S
        for connection in self._all_idle(lambda one: one.idle_since < too_old):
            connection.abort()
        self._sweeping = self._clock.callLater(SWEEP_S, self._sweep) if self._places else None

    def _all_idle(self, wanted: Callable[[Connection], bool]) -> list[Connection]:
        return [one for place in self._places.values() for one in place.idle if wanted(one)]

    def close(self) -> None:
        """Cuts the idle connections; one in use is cut after its answer."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in self._all_idle(lambda one: True):
            connection.abort()


def _timed_out(result: Any, timeout: float) -> Any:
    if isinstance(result, Failure):
        raise TimedOut(f"no answer within {timeout:g} s")
    return result
