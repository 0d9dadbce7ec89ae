"""One connection to the outside: one request after the other, and their answers.

Rules: one request at a time. It is used again only when both sides agree where its answer ended; one that says anything
unasked is cut. An exchange has a limit for all of it and one for silence; who reads slowly is not blamed on the other
side. Not known here: other connections, where it leads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from hs_common.http.egress.answer import Answer
from hs_common.http.egress.failures import BrokenOff, EgressError, NotTrusted, TimedOut
from hs_common.http.response_reader import MalformedResponse, ResponseReader
from hs_common.http.write_now import write_now

AT_ONCE_BYTES: Final = 32 * 1024
"""Requests up to this size are sent without looking whether they go: the system takes them at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request: seconds for all of it, seconds of silence, bytes of the answer's body, redirects followed.

    `hurried`: who asks has less time than a server may take, so that silence until then says nothing about it.
    """

    total_s: float = 30.0
    idle_s: float = 15.0
    body_bytes: int = 1 << 20
    redirects: int = 0
    hurried: bool = False


class _Writing:
    """Is told by the transport whether what was written still waits here to be sent."""

    def __init__(self) -> None:
        self.is_registered = self.is_under_way = False

    def pauseProducing(self) -> None:
        self.is_under_way = True

    def resumeProducing(self) -> None:
        self.is_under_way = False

    def stopProducing(self) -> None:
        self.is_under_way = False


class Connection(Protocol):
    """Idle while it has no reader. `free` is told when it may be used again, `lose` when it has ended."""

    transport: Any

    def __init__(self, clock: Any, free: Callable[["Connection"], None], lose: Callable[["Connection"], None]) -> None:
        self._clock = clock
        self._free = free
        self._lose = lose
        self._reader: ResponseReader | None = None
        self._begun: Deferred[Answer] | None = None
        self._answer: Answer | None = None
        self._limits = Limits()
        self._writing = _Writing()
        self._ends_at = self._silent_since = 0.0
        self._timer: Any = None
        self.uses = 0
        self.idle_since = 0.0

    def ask(self, question: bytes, *, is_head: bool, ends_at: float, limits: Limits) -> Deferred[Answer]:
        """Sends a request. Fires with the answer once its headers are here; cancelling cuts the connection."""
        self._reader, self._answer, self._limits = ResponseReader(is_head), None, limits
        self._ends_at, self._silent_since = ends_at, self._clock.seconds()
        begun = self._begun = Deferred(lambda _: self.abort())
        self.uses += 1
        self._watch()
        if len(question) > AT_ONCE_BYTES and not self._writing.is_registered:
            self._writing.is_registered = True
            self.transport.registerProducer(self._writing, True)
        write_now(self.transport, question)
        return begun

    def abort(self) -> None:
        """Cuts it, whatever it is at."""
        self.transport.abortConnection()

    # What comes

    def dataReceived(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            self.abort()  # nobody asked
            return
        self._silent_since = self._clock.seconds()
        try:
            body = reader.feed(data)
        except MalformedResponse as error:
            self._fail(BrokenOff(f"what came is no answer: {error}"))
            return
        if reader.head is None:
            return
        answer = self._answer
        if answer is None:
            answer = self._answer = Answer(reader.head, self._limits.body_bytes, self._flow, self.abort)
        answer.feed(body)
        begun, self._begun = self._begun, None  # first: once it is free, the next exchange begins
        if reader.is_complete:
            is_good = reader.head.persistent and not reader.has_surplus and not answer.is_over
            # Who answers before he has heard all may never hear it, and it would lie here as long as the connection.
            is_good = is_good and not self._writing.is_under_way
            self._complete(answer, is_good)
        if begun is not None:
            _begin(begun, answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        reader, answer = self._reader, self._answer
        if reader is not None and answer is not None and not answer.is_over:
            try:
                reader.end()
            except MalformedResponse:
                self._fail(_why(reason))
            else:
                self._complete(answer, is_good=False)
        elif reader is not None:
            self._fail(_why(reason))
        self._lose(self)

    # What follows

    def _complete(self, answer: Answer, is_good: bool) -> None:
        self._reader = None
        self._stop_watching()
        if answer.is_paused:
            self.transport.resumeProducing()
        answer.end()
        if is_good:
            self.idle_since = self._clock.seconds()
            self._free(self)
        else:
            self.abort()

    def _fail(self, error: EgressError) -> None:
        self._reader = None
        self._stop_watching()
        begun, self._begun = self._begun, None
        if self._answer is not None:
            self._answer.fail(error)
        self.abort()
        if begun is not None and not begun.called:
            begun.errback(error)

    def _flow(self, on: bool) -> None:
        if self._reader is None:
            return  # all of it has come
        self._silent_since = self._clock.seconds()
        if on:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    # Time

    def _watch(self) -> None:
        now = self._clock.seconds()
        is_paused = self._answer is not None and self._answer.is_paused
        silent_until = now + self._limits.idle_s if is_paused else self._silent_since + self._limits.idle_s
        until = min(self._ends_at, silent_until)
        if until <= now:
            self._timer = None
            self._fail(TimedOut("the answer took too long"))
        else:
            self._timer = self._clock.callLater(until - now, self._watch)

    def _stop_watching(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _begin(begun: Deferred[Answer], answer: Answer) -> None:
    if begun.called:  # cancelled
        answer.close()
    else:
        begun.callback(answer)


def _why(reason: Failure) -> EgressError:
    if reason.check(SSL.Error, VerificationError):
        return NotTrusted(f"no trusted connection: {reason.value!r}"[:300])
    return BrokenOff(f"the connection ended: {reason.getErrorMessage()}"[:300])
