"""The network between servers: links that delay, lose, repeat and are cut, each direction on its own.

A request finds who listens under the server's name. One that is lost on its way, or whose answer is, ends by its own
time limit; one over a cut link, or to a server that is down, fails at once or by its limit. A repeated request arrives
a second time later, as after a proxy's retry. Delays differ, so requests overtake each other.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from hs_common.federation.discovery import Place
from hs_common.http.egress.connecting import Target
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import NotConnected, TimedOut
from tests.simulation.clock import Process, VirtualClock


@dataclass(slots=True)
class Link:
    """One direction. Chances, and whether it is cut."""

    loss: float = 0.0
    answer_loss: float = 0.0
    repeat: float = 0.0
    slow: float = 0.0
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it travels."""

    origin: str
    method: str
    uri: str
    body: bytes | None


class SimulatedAnswer:
    """As an `Answer` of egress, complete."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    def header(self, name: str) -> str | None:
        return None

    async def read(self) -> bytes:
        body, self.body = self.body, b""
        return body

    async def read_all(self) -> bytes:
        return await self.read()

    def close(self) -> None:
        """Nothing is open."""


Listener = Callable[[Question], Awaitable[SimulatedAnswer]]


class Wire:
    """All links. `listeners`: by server name, the process that listens and what it does with a question."""

    def __init__(self, clock: VirtualClock, random: Random, counts: Counter[str]) -> None:
        self._clock = clock
        self._random = random
        self._counts = counts
        self.links: dict[tuple[str, str], Link] = {}
        self.listeners: dict[str, tuple[Process, Listener]] = {}
        self.ended: list[object] = []  # kept, so that nothing is finalised within a world
        self.asked: list[tuple[str, Question]] = []  # every question that left, by destination

    def link(self, origin: str, destination: str) -> Link:
        return self.links.setdefault((origin, destination), Link())

    def heal(self) -> None:
        self.links.clear()

    async def ask(self, caller: Process, destination: str, question: Question, limit_s: float) -> SimulatedAnswer:
        """Raises EgressError."""
        self.asked.append((destination, question))
        link, back = self.link(question.origin, destination), self.link(destination, question.origin)
        reply: Deferred[SimulatedAnswer] = Deferred()
        self.ended.append(reply)
        if link.is_cut or back.is_cut or not self._listens(destination):
            self._counts["wire: not connected"] += 1
            refused = NotConnected(f"{destination} cannot be reached")
            caller.callLater(self._random.choice((0.01, 3.0)), _fail, reply, refused)
            return await reply
        caller.callLater(limit_s, _fail, reply, TimedOut(f"no answer within {limit_s:g} s"))
        for number in range(1 + (self._random.random() < link.repeat)):
            if self._random.random() < link.loss:
                self._counts["wire: lost"] += 1
                continue
            delay = self._delay(link) + (number and self._random.uniform(0.0, 40.0))
            self._counts["wire: repeated"] += number
            self._clock.callLater(delay, self._arrive, caller, destination, question, reply)
        return await reply

    def _listens(self, destination: str) -> bool:
        return destination in self.listeners and self.listeners[destination][0].is_alive

    def _delay(self, link: Link) -> float:
        if self._random.random() < link.slow:
            self._counts["wire: slow"] += 1
            return self._random.uniform(0.5, 15.0)
        return self._random.uniform(0.005, 0.05)

    def _arrive(
        self, caller: Process, destination: str, question: Question, reply: "Deferred[SimulatedAnswer]"
    ) -> None:
        if not self._listens(destination) or self.link(question.origin, destination).is_cut:
            return
        process, listener = self.listeners[destination]
        process.callLater(0.0, self._answer, caller, destination, question, listener, reply)

    def _answer(
        self, caller: Process, destination: str, question: Question, listener: Listener, reply: "Deferred[Any]"
    ) -> None:
        doing = Deferred.fromCoroutine(_awaited(listener(question)))
        self.ended.append(doing)
        doing.addBoth(self._send_back, caller, destination, question, reply)

    def _send_back(self, answer: Any, caller: Process, destination: str, question: Question, reply: Any) -> None:
        back = self.link(destination, question.origin)
        if back.is_cut or self._random.random() < back.answer_loss or not self._listens(destination):
            self._counts["wire: answer lost"] += 1
            return
        caller.callLater(self._delay(back), lambda: None if reply.called else reply.callback(answer))


async def _awaited(work: Awaitable[SimulatedAnswer]) -> SimulatedAnswer:
    return await work


def _fail(reply: "Deferred[SimulatedAnswer]", error: Exception) -> None:
    if not reply.called:
        reply.errback(error)


class Egress:
    """As an `EgressClient`, for one process of a server."""

    def __init__(self, wire: Wire, process: Process, origin: str) -> None:
        self._wire = wire
        self._process = process
        self._origin = origin

    async def ask(
        self,
        purpose: object,
        target: Target,
        method: str,
        uri: str,
        host: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        limits: Limits,
    ) -> SimulatedAnswer:
        question = Question(self._origin, method, uri, body)
        silence_s = min(limits.total_s, limits.idle_s)  # who answers does it at once
        return await self._wire.ask(self._process, target.host, question, silence_s)


class Names:
    """As a `Discovery`: a server is where its name says."""

    async def places(self, destination: str) -> list[Place]:
        return [Place(Target(destination, 8448, destination), destination)]
