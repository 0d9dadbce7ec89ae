"""The master's end of the link: proves who it is, takes calls, gives answers.

Rules: a call ends in exactly one answer, whatever its work does; one call's failure is no other's. A master that does
not lead says so and does nothing else. Must not know the calls, nor how leadership is won.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.process.request_id import CURRENT_REQUEST_ID
from hs_common.replication.clock import Clock, DelayedCall
from hs_common.replication.frame_protocol import FrameProtocol
from hs_common.replication.frames import (
    NONCE_BYTES,
    BrokenFrame,
    Busy,
    CallFrame,
    Challenge,
    Done,
    Failed,
    Frame,
    Hello,
    NotLeader,
    Ping,
    Pong,
    Proof,
    Refused,
    Welcome,
    is_proof,
    master_proof,
    worker_proof,
)
from hs_common.replication.names import FORMAT, KEY_LENGTH, LINK_FORMAT

HANDSHAKE_SECONDS = 5.0  # to prove oneself, so that silent strangers hold no connection
SILENCE_SECONDS = 15.0  # a worker pings each second: one that did not for so long is gone
# What one worker may have unanswered, its credits: seconds of work, and half of what may wait in all.
CALLS_LIMIT = 5_000
BYTES_LIMIT = 32 * 1024 * 1024
BUSY_RETRY_MS = 1000

_log = Logger()
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What travels beside a call. See CallFrame for the fields; `worker` is the role that calls."""

    key: bytes
    time_left_ms: int
    lane: str
    origin: str
    tries: int
    request_id: str
    worker: str
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Leadership:
    """What this master knows of who leads: its own epoch if it does, else perhaps the leader's address."""

    epoch: int | None
    leader_address: str | None = None


class LeaderElsewhere(Exception):
    """Raised by the work of a call: this master has stopped leading; nothing was done, or nobody knows."""


class TooBusy(Exception):
    """Raised by the work of a call: nothing was done, try again after `retry_after_ms`."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(retry_after_ms)
        self.retry_after_ms = retry_after_ms


CallWork = Callable[[str, msgspec.Raw, CallInfo], Awaitable[bytes]]
"""Does a call by name and encoded body, and gives its encoded answer. Raises MatrixError, LeaderElsewhere, TooBusy."""


class LinkServer(Factory):
    """Makes a connection for each worker. `nonce(n)` gives n random bytes that nobody can guess."""

    noisy = False

    def __init__(
        self,
        clock: Clock,
        secret: bytes,
        cluster_id: str,
        nonce: Callable[[int], bytes],
        leadership: Callable[[], Leadership],
        work: CallWork,
    ) -> None:
        self.clock = clock
        self.secret = secret
        self.cluster_id = cluster_id
        self.nonce = nonce
        self.leadership = leadership
        self.work = work
        self.connections: dict[WorkerConnection, None] = {}  # in the order in which they came

    def buildProtocol(self, addr: IAddress | None) -> "WorkerConnection":
        """Called by Twisted for each connection."""
        return WorkerConnection(self)

    def step_down(self) -> None:
        """Tells every worker that this master leads no longer."""
        for connection in list(self.connections):
            connection.say_not_leader()

    def close(self) -> None:
        """Ends every connection."""
        for connection in list(self.connections):
            connection.close()


class WorkerConnection(FrameProtocol):
    """The connection of one worker."""

    def __init__(self, server: LinkServer) -> None:
        super().__init__(server.clock)
        self.hello: Hello | None = None
        self._server = server
        self._nonce = b""
        self._welcome = False
        self._in_work = 0
        self._bytes_in_work = 0
        self._deadline: DelayedCall | None = None

    def connection_opened(self) -> None:
        """A stranger, until proved."""
        self._server.connections[self] = None
        self._deadline = self.clock.callLater(HANDSHAKE_SECONDS, self._check_silence)

    def connection_ended(self) -> None:
        """Work under way goes on: its answer is found by the call's key."""
        self._server.connections.pop(self, None)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def frame_received(self, frame: Frame) -> None:
        """One frame of the worker."""
        if not self._welcome:
            self._meet(frame)
        elif isinstance(frame, CallFrame):
            self._take_call(frame)
        elif isinstance(frame, Ping):
            self.send(Pong())
        else:
            raise BrokenFrame(f"a worker does not say {type(frame).__name__}")

    def say_not_leader(self) -> None:
        """This master does not lead: names who does, and ends the connection."""
        self.send(NotLeader(self._server.leadership().leader_address))
        self.close()

    # --- who is there ---------------------------------------------------------------------------------------------

    def _meet(self, frame: Frame) -> None:
        if isinstance(frame, Hello) and self.hello is None:
            self._challenge(frame)
        elif isinstance(frame, Proof) and self.hello is not None:
            self._check(self.hello, frame)
        else:
            raise BrokenFrame("a worker began with something else than hello")

    def _challenge(self, hello: Hello) -> None:
        if hello.cluster_id != self._server.cluster_id:
            self._refuse("this is another cluster")
        elif not hello.oldest_format <= FORMAT <= hello.newest_format:
            self._refuse(f"the master writes format {FORMAT}")
        elif len(hello.nonce) != NONCE_BYTES:
            raise BrokenFrame("the worker's nonce has the wrong length")
        else:
            self.hello = hello
            self._nonce = self._server.nonce(NONCE_BYTES)
            self.send(Challenge(self._nonce, master_proof(self._server.secret, hello, self._nonce)))

    def _check(self, hello: Hello, frame: Proof) -> None:
        if not is_proof(frame.proof, worker_proof(self._server.secret, hello, self._nonce)):
            self._refuse("the secret is wrong")
            return
        epoch = self._server.leadership().epoch
        if epoch is None or epoch < hello.highest_epoch:
            self.say_not_leader()
            return
        self._welcome = True
        self.trust()
        self.send(Welcome(LINK_FORMAT, epoch))

    def _refuse(self, reason: str) -> None:
        _log.warn("a worker is refused: {reason}", reason=reason)
        self.send(Refused(reason))
        self.close()

    def _check_silence(self) -> None:
        quiet = self.clock.seconds() - self.last_received
        if not self._welcome or quiet >= SILENCE_SECONDS:
            self.abort()
        else:
            self._deadline = self.clock.callLater(SILENCE_SECONDS - quiet, self._check_silence)

    # --- calls ----------------------------------------------------------------------------------------------------

    def _take_call(self, frame: CallFrame) -> None:
        if len(frame.key) != KEY_LENGTH:
            raise BrokenFrame("a call's key has the wrong length")
        if self._server.leadership().epoch is None:
            self.say_not_leader()
        elif self._in_work >= CALLS_LIMIT or self._bytes_in_work >= BYTES_LIMIT:
            self.send(Busy(frame.id, BUSY_RETRY_MS))
        else:
            self._in_work += 1
            self._bytes_in_work += memoryview(frame.body).nbytes
            Deferred.fromCoroutine(self._do(frame))

    async def _do(self, frame: CallFrame) -> None:
        answer: Frame
        CURRENT_REQUEST_ID.set(frame.request_id)
        try:
            body = await self._server.work(frame.name, frame.body, self._info(frame))
            answer = Done(frame.id, msgspec.Raw(body))
        except LeaderElsewhere:
            self.say_not_leader()
            return
        except TooBusy as error:
            answer = Busy(frame.id, error.retry_after_ms)
        except MatrixError as error:
            answer = failed(frame.id, error)
        except Exception:
            _log.failure("call {name} of request {request} failed", name=frame.name, request=frame.request_id)
            answer = failed(frame.id, MatrixError(500, "M_UNKNOWN", "Internal server error"))
        finally:
            self._in_work -= 1
            self._bytes_in_work -= memoryview(frame.body).nbytes
        self._send_answer(frame, answer)

    def _send_answer(self, frame: CallFrame, answer: Frame) -> None:
        try:
            self.send(answer)
        except BrokenFrame as error:
            _log.error("the answer of call {name} cannot be sent: {error}", name=frame.name, error=error)
            self.send(failed(frame.id, MatrixError(500, "M_UNKNOWN", "Internal server error")))

    def _info(self, frame: CallFrame) -> CallInfo:
        role = cast(Hello, self.hello).role
        return CallInfo(
            frame.key, frame.time_left_ms, frame.lane, frame.origin, frame.tries, frame.request_id, role, frame.losses
        )


def failed(id: int, error: MatrixError) -> Failed:
    """The answer of a call that ended in a Matrix error."""
    fields: dict[str, Any] = dict(error.fields)
    return Failed(id, error.status, error.errcode, error.error, _json.encode(fields))
