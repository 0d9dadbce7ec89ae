"""Connections between processes: bytes arrive late but in order, until the connection is cut, parted or its end dies.

The protocols are the real ones. A parted connection delivers nothing until it is healed, as TCP does; a dead process'
peers are told soon, or never (its machine lost power). Bytes that were on their way when one end gave the connection
up may still arrive at the other: so calls come twice and out of order.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from hs_common.replication.clock import pause
from tests.simulation.clock import Process, VirtualClock

_LOOK_AGAIN_S = 0.1  # at a parted connection


class Network:
    """Addresses, and the connections to them. `latency` gives the seconds that the next bytes take."""

    def __init__(self, clock: VirtualClock, random: Random, latency: Callable[[], float]) -> None:
        self.clock = clock
        self.random = random
        self.latency = latency
        self.listeners: dict[str, tuple[Process, Factory]] = {}
        self.connections: list[Connection] = []
        self._ended: list[Connection] = []  # kept, so that nothing of a dead process is finalised, which is to run on

    async def dial(self, caller: Process, address: str, protocol: Any) -> None:
        """Connect a protocol of the caller to who listens there."""
        await pause(caller, self.latency())
        listener = self.listeners.get(address)
        if listener is None or not listener[0].is_alive:
            raise ConnectionRefusedError(address)
        self._ended += [connection for connection in self.connections if not connection.is_open]
        self.connections = [connection for connection in self.connections if connection.is_open]
        self.connections.append(Connection(self, caller, protocol, *listener))

    def process_died(self, process: Process) -> None:
        silently = self.random.random() < 0.3
        for connection in self.connections:
            if connection.is_open and process in connection.processes:
                connection.end_of(process, silently)


class Connection:
    """One connection; `near` has dialled."""

    def __init__(self, network: Network, caller: Process, protocol: Any, callee: Process, factory: Factory) -> None:
        self.is_open = True
        self.is_parted = False
        self.processes = (caller, callee)
        self._network = network
        self._near = End(self, caller)
        self._far = End(self, callee)
        self._near.other, self._far.other = self._far, self._near
        self._near.protocol = protocol
        self._far.receive(self._accept, factory)
        protocol.makeConnection(self._near)

    def _accept(self, factory: Factory) -> None:
        self._far.protocol = factory.buildProtocol(None)
        self._far.protocol.makeConnection(self._far)

    def end_of(self, process: Process, silently: bool) -> None:
        """The process at one end is gone."""
        self.is_open = False
        survivor = self._far if process is self._near.process else self._near
        if not silently:
            survivor.receive(survivor.lose)

    def cut(self) -> None:
        """Something in between ended the connection: both ends are told."""
        self.is_open = False
        for end in (self._near, self._far):
            end.on_the_way.clear()
            end.receive(end.lose)

    def given_up_by(self, end: "End") -> None:
        self.is_open = False
        end.process.callLater(0, end.lose)
        other = end.other
        if self._network.random.random() < 0.5:
            other.on_the_way.clear()
        other.receive(other.lose)


class End:
    """One end: the transport of its protocol, and what is on its way to it."""

    other: "End"
    protocol: Any = None

    def __init__(self, connection: Connection, process: Process) -> None:
        self.process = process
        self.on_the_way: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._connection = connection
        self._arrives = 0.0
        self._is_lost = False

    # --- what a protocol asks of its transport ---

    def write(self, data: bytes) -> None:
        if self._connection.is_open:
            self.other.receive(self.other.take, data)

    def loseConnection(self) -> None:
        self.abortConnection()

    def abortConnection(self) -> None:
        if self._connection.is_open:
            self._connection.given_up_by(self)
        else:
            self.process.callLater(0, self.lose)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing here is ever slow to read."""

    def unregisterProducer(self) -> None:
        """See registerProducer."""

    # --- what comes from the other end ---

    def receive(self, call: Callable[..., None], *args: Any) -> None:
        """Do this here when it has travelled, after all that is on its way already."""
        network = self._connection._network
        self.on_the_way.append((call, args))
        self._arrives = max(self._arrives, network.clock.now + network.latency())
        network.clock.call_in(self.process, self._arrives - network.clock.now, self._arrive)

    def _arrive(self) -> None:
        if not self.on_the_way:
            return
        if self._connection.is_parted and self._connection.is_open:
            self.process.callLater(_LOOK_AGAIN_S, self._arrive)
            return
        call, args = self.on_the_way.popleft()
        call(*args)

    def take(self, data: bytes) -> None:
        if self.protocol is not None and not self._is_lost:
            self.protocol.dataReceived(data)

    def lose(self) -> None:
        if self.protocol is not None and not self._is_lost:
            self._is_lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))
