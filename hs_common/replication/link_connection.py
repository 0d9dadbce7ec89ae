"""One connection of a worker to a master: the handshake, pings, and answers handed on.

Rule: a connection is used for calls only after the master has proved that it knows the secret and has said welcome.
Must not know which calls wait for an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from hs_common.replication.clock import Clock, DelayedCall
from hs_common.replication.frame_protocol import FrameProtocol
from hs_common.replication.frames import (
    NONCE_BYTES,
    BrokenFrame,
    Busy,
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
from hs_common.replication.names import FORMAT, OLDEST_FORMAT

PING_SECONDS = 1.0
SILENCE_SECONDS = 3.0  # three pings without a sign of life: the master is gone or hangs


class NoEntry(Exception):
    """This master does not take the worker: it does not lead, or refuses, or does not know the secret."""


@dataclass(frozen=True)
class LinkIdentity:
    """Who a worker is to a master."""

    cluster_id: str
    secret: bytes
    role: str

    def hello(self, random_bytes: Callable[[int], bytes], highest_epoch: int) -> Hello:
        """The first words of a connection, with a nonce of its own."""
        return Hello(self.cluster_id, self.role, random_bytes(NONCE_BYTES), OLDEST_FORMAT, FORMAT, highest_epoch)


class MasterConnection(FrameProtocol):
    """`welcomed` is done when calls may be sent, or fails with NoEntry; `ended` is done when the connection is over.

    `leader_address`: where a master that does not lead said that the leader is.
    """

    def __init__(self, clock: Clock, secret: bytes, hello: Hello, answered: Callable[[int, Frame], None]) -> None:
        super().__init__(clock)
        self.welcomed: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.leader_address: str | None = None
        self.epoch: int | None = None  # once welcomed
        self.stepped_down = False  # it said itself that it leads no longer
        self._secret = secret
        self._hello = hello
        self._answered = answered
        self._proved = False
        self._ping_timer: DelayedCall | None = None
        self._reason = "the connection ended"

    def connection_opened(self) -> None:
        """Says hello."""
        self.send(self._hello)

    def connection_ended(self) -> None:
        """Whoever waits for this connection goes on without it."""
        if self._ping_timer is not None and self._ping_timer.active():
            self._ping_timer.cancel()
        if not self.welcomed.called:
            self.welcomed.errback(NoEntry(self._reason))
        if not self.ended.called:
            self.ended.callback(None)

    def frame_received(self, frame: Frame) -> None:
        """One frame of the master."""
        match frame:
            case Done() | Failed() | Busy() if self.welcomed.called:
                self._answered(frame.id, frame)
            case Pong() if self.welcomed.called:
                return  # that something came is all that counts
            case Challenge() if not self._proved:
                self._prove(frame)
            case Welcome() if self._proved and not self.welcomed.called:
                self.epoch = frame.epoch
                self.welcomed.callback(None)
                self._ping()
            case NotLeader() if self._proved:
                self.leader_address = frame.address
                self.stepped_down = True
                self._leave("this master does not lead")
            case Refused():
                self._leave(f"the master refuses: {frame.reason}")
            case _:
                raise BrokenFrame(f"a master does not say {type(frame).__name__} here")

    def _prove(self, challenge: Challenge) -> None:
        if not is_proof(challenge.proof, master_proof(self._secret, self._hello, challenge.nonce)):
            self._leave("the master does not know the secret")
            return
        self._proved = True
        self.trust()
        self.send(Proof(worker_proof(self._secret, self._hello, challenge.nonce)))

    def _leave(self, reason: str) -> None:
        self._reason = reason
        self.abort()

    def _ping(self) -> None:
        if self.clock.seconds() - self.last_received >= SILENCE_SECONDS:
            self._leave("the master is silent")
            return
        self.send(Ping())
        self._ping_timer = self.clock.callLater(PING_SECONDS, self._ping)
