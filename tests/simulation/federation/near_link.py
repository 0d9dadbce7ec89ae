"""A worker's way to the master of its server, in place of the link whose own faults `tests/simulation` breaks.

Requests and answers take time and may be lost; a call is repeated under its key until the time limit, as the link does.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call
from hs_common.replication.clock import pause
from hs_common.replication.link_interface import CALL_SECONDS, DEFAULT_OPTIONS, CallOptions, busy, unknown_outcome
from hs_common.replication.link_server import LeaderElsewhere, TooBusy
from hs_master.desk import lane_of
from hs_master.pipeline.pending import Terms
from tests.simulation.clock import Process
from tests.simulation.masters import MasterProcess

_LOOK_AGAIN_S = 0.3
_PATIENCE_S = 2.0  # for one answer: then the connection counts as dead


class NearLink:
    """`find` gives the running master, `loses` decides whether a message is lost."""

    def __init__(
        self,
        process: Process,
        random: Random,
        latency: Callable[[], float],
        find: Callable[[], MasterProcess | None],
        loses: Callable[[], bool],
    ) -> None:
        self._process = process
        self._random = random
        self._latency = latency
        self._find = find
        self._loses = loses
        self._asked: list[object] = []  # kept, so that nothing is finalised within a world

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        key = self._random.randbytes(16) if key is None else key
        until, tries, lane = self._process.seconds() + CALL_SECONDS, 0, lane_of(call, options.lane)
        while self._process.seconds() < until:
            tries += 1
            outcome = await self._once(call, key, Terms(lane=lane, origin=options.origin), tries > 1)
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome, MatrixError):
                raise outcome
            if isinstance(outcome, TooBusy):
                raise busy(lane, outcome.retry_after_ms)
            await pause(self._process, _LOOK_AGAIN_S)
        raise unknown_outcome()

    async def _once(self, call: Call, key: bytes, terms: Terms, repeated: bool) -> Any:
        """The answer or the error; None: nothing came back."""
        reply: Deferred[Any] = Deferred()
        self._asked.append(reply)
        self._process.callLater(_PATIENCE_S, _tell, reply, None)
        master = self._find()
        if master is None or self._loses():
            self._process.callLater(self._latency(), _tell, reply, None)
        else:
            master.process.callLater(self._latency(), self._work, master, call, key, terms, repeated, reply)
        return await reply

    def _work(
        self, master: MasterProcess, call: Call, key: bytes, terms: Terms, repeated: bool, reply: "Deferred[Any]"
    ) -> None:
        doing = Deferred.fromCoroutine(self._outcome(master, call, key, terms, repeated))
        self._asked.append(doing)
        doing.addCallback(self._send_back, reply)

    async def _outcome(self, master: MasterProcess, call: Call, key: bytes, terms: Terms, repeated: bool) -> Any:
        try:
            return await master.desk.call(call, key, repeated=repeated, terms=terms)
        except LeaderElsewhere:
            return None
        except (MatrixError, TooBusy) as error:
            return error

    def _send_back(self, outcome: Any, reply: "Deferred[Any]") -> None:
        if not self._loses():
            self._process.callLater(self._latency(), _tell, reply, outcome)


def _tell(reply: "Deferred[Any]", outcome: Any) -> None:
    if not reply.called:
        reply.callback(outcome)
