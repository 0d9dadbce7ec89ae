"""A network for tests: connections between two protocols that move bytes when told, and can be cut at any byte."""

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class End:
    """One side's transport."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.outgoing = bytearray()
        self.closing = False
        self.aborted = False
        self.writes = 0
        self.hangs = False  # its process stands still: it does not even end the connection

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.outgoing += data

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = not self.hangs

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


class Wire:
    """A connection. After `cut_after` bytes (both directions together) it breaks. `frozen`: nothing moves any more."""

    def __init__(self, near: Any, far: Any, cut_after: int | None) -> None:
        self.near, self.far = End(near), End(far)
        self.is_open = True
        self.frozen = False
        self.carried = 0
        self._cut_after = cut_after
        near.makeConnection(self.near)
        far.makeConnection(self.far)

    def pump(self) -> None:
        if self.frozen:
            if self.near.aborted:
                self.cut()
            return
        for end, other in ((self.near, self.far), (self.far, self.near)):
            if self.is_open and end.outgoing and not end.aborted:
                self._carry(end, other)
        ends = (self.near, self.far)
        if any(end.aborted or (end.closing and not end.outgoing) for end in ends):
            self.cut()

    def cut(self) -> None:
        if self.is_open:
            self.is_open = False
            self.near.protocol.connectionLost(Failure(ConnectionDone()))
            self.far.protocol.connectionLost(Failure(ConnectionDone()))

    def _carry(self, end: End, other: End) -> None:
        data = bytes(end.outgoing)
        if self._cut_after is not None:
            data = data[: self._cut_after - self.carried]
        end.outgoing.clear()
        self.carried += len(data)
        if data:
            other.protocol.dataReceived(data)
        if self._cut_after is not None and self.carried >= self._cut_after:
            self.cut()


class Network:
    """Masters by address, and the wires to them. `cuts`: after how many bytes the next connections break."""

    def __init__(self, clock: Clock, cuts: list[int] | None = None) -> None:
        self.clock = clock
        self.listeners: dict[str, Factory] = {}
        self.wires: list[Wire] = []
        self.dialled: list[str] = []
        self._cuts = list(cuts or [])

    async def dial(self, address: str, protocol: Any) -> None:
        self.dialled.append(address)
        if address not in self.listeners:
            raise ConnectionRefusedError(address)
        far = self.listeners[address].buildProtocol(None)
        self.wires.append(Wire(protocol, far, self._cuts.pop(0) if self._cuts else None))

    def turn(self, seconds: float, step: float = 0.02) -> None:
        for _ in range(max(1, round(seconds / step))):
            self.clock.advance(step)
            for _ in range(3):
                for wire in self.wires:
                    if wire.is_open:
                        wire.pump()
                self.clock.advance(0)
