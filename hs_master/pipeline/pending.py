"""A call that waits to be decided, and the queue it waits in."""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls
from hs_common.replication.calls import Answer, Call
from hs_master.log_store.types import AnswerKind


class NotLeading(Exception):
    """This process does not lead (any more): the caller looks for the leader and asks again under the same key."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What stands beside a call. `origin`: for whom it is; `time_left_s`: then the caller has given up.

    `losses`: how many masters were succeeded while they had it.
    """

    lane: str = "interactive"
    origin: str = ""
    size_bytes: int = 0
    time_left_s: float = float("inf")
    losses: int = 0


DEFAULT_TERMS: Final = Terms()


class PendingCall:
    """One call, from its arrival to its answer."""

    __slots__ = (
        "_waiting",
        "attempts",
        "call",
        "deadline",
        "done",
        "is_suspect",
        "key",
        "kind",
        "loaded",
        "looked_up",
        "may_be_repeated",
        "queue",
        "terms",
        "unknown_rooms",
    )

    def __init__(
        self,
        call: Call,
        queue: str,
        key: bytes | None,
        kind: AnswerKind,
        may_be_repeated: bool,
        terms: Terms = DEFAULT_TERMS,
        now: float = 0.0,
    ) -> None:
        self.call = call
        self.queue = queue
        self.key = key
        self.kind = kind
        self.may_be_repeated = may_be_repeated  # a client's key, or a worker's retry: it may have been answered
        self.looked_up = False  # and it was not
        self.terms = terms
        self.deadline = now + terms.time_left_s
        self.loaded: Any = None
        self.unknown_rooms: set[str] = set()
        self.is_suspect = terms.losses > 0  # a master was succeeded while it had this, among others
        self.attempts = 0
        self.done = False
        self._waiting: list[Deferred[Answer]] = []

    def wait(self) -> "Deferred[Answer]":
        """A result for one more caller of the same key."""
        waiter: Deferred[Answer] = Deferred(lambda gone: self._waiting.remove(gone))
        self._waiting.append(waiter)
        return waiter

    def succeed(self, answer: Answer) -> None:
        for waiter in self._take():
            waiter.callback(answer)

    def fail(self, error: Exception) -> None:
        for waiter in self._take():
            waiter.errback(error)

    def _take(self) -> "list[Deferred[Answer]]":
        self.done = True
        waiting, self._waiting = self._waiting, []
        return waiting


class CallQueue:
    """Calls about one room or one thing, in order."""

    __slots__ = ("about", "busy", "lane", "name", "origin", "waiting")

    def __init__(self, name: str, lane: str, origin: str, about: str = "") -> None:
        self.name = name
        self.about = about  # the room or thing
        self.lane = lane  # of who made the queue: another lane's or origin's calls about a room have a queue of theirs
        self.origin = origin
        self.waiting: deque[PendingCall] = deque()
        self.busy = False  # something is being read for it, or a serial call of it is being committed


# What an answer looks like in the answers table: one byte that tells which, then msgpack.
_OK, _ERROR = b"\x00", b"\x01"
_error_encoder = msgspec.msgpack.Encoder()
_error_decoder = msgspec.msgpack.Decoder(tuple[int, str, str, dict[str, Any]])


def encode_outcome(outcome: Answer | MatrixError) -> bytes:
    """An answer or a final error, as it is kept for a repeated call."""
    if isinstance(outcome, MatrixError):
        return _ERROR + _error_encoder.encode((outcome.status, outcome.errcode, outcome.error, outcome.fields))
    return _OK + calls.encode(outcome)


def decode_outcome(call: type[Call], stored: bytes) -> Answer | MatrixError:
    if stored[:1] == _OK:
        return calls.decode_answer(call, stored[1:])
    status, errcode, error, fields = _error_decoder.decode(stored[1:])
    return MatrixError(status, errcode, error, fields)


def is_kept(outcome: Answer | MatrixError) -> bool:
    """Whether a repeat of the call must get the same again: not an error that time may mend."""
    return not isinstance(outcome, MatrixError) or (outcome.status < 500 and outcome.status not in (409, 429))
