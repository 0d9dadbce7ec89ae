"""The worker's end of the link: calls to the master, kept and repeated over lost connections and changes of leader.

Rules: a call is written once a leader is found, and again, with the same id and key and in the old order, after each
reconnection; the fence and the answers table make repeats harmless. After 8 seconds in all the caller is told that the
outcome is unknown, never that it failed. One caller's exception or absence is nobody else's concern.
Must not know what calls mean, nor how a leader is found.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from hs_common.matrix.errors import MatrixError, too_large
from hs_common.process.request_id import CURRENT_ORIGIN, CURRENT_REQUEST_ID
from hs_common.replication import calls
from hs_common.replication.clock import Clock, DelayedCall, pause
from hs_common.replication.credits import LONGEST_WAIT_SHARE, Credits, granted
from hs_common.replication.frame_protocol import Dial
from hs_common.replication.frames import BrokenFrame, Busy, CallFrame, Done, Failed, Frame
from hs_common.replication.keys import call_key
from hs_common.replication.link_connection import LinkIdentity, MasterConnection
from hs_common.replication.link_interface import (
    DEFAULT_OPTIONS,
    UNKNOWN_RETRY_MS,
    CallOptions,
    busy,
    call_seconds,
    unknown_outcome,
)
from hs_common.replication.names import KEY_LENGTH

DIAL_SECONDS = 2.0  # to reach an address and be welcomed there
RECONNECT_SECONDS = (0.1, 0.5)  # before looking for the leader again, random: workers must not come in step
CALLS_LIMIT = 10_000  # calls that wait in one worker; seconds of the master's work

_log = Logger()


@dataclass
class _Waiting:
    """A call without an answer."""

    id: int
    key: bytes
    name: str
    body: bytes
    options: CallOptions
    deadline: float
    request_id: str
    origin: str
    tries: int = 0
    epoch: int | None = None  # of the master that was given it last, and has not stepped down since
    losses: int = 0  # masters that were succeeded while they had it
    answer: Deferred[Frame] = field(default_factory=Deferred)


class MasterLink:
    """The link of one worker process. `find_leader` gives the leader's address, or None while there is none.

    `random_bytes(n)` gives bytes that nobody can guess: keys and nonces. `highest_epoch` is the follower's.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        random_bytes: Callable[[int], bytes],
        identity: LinkIdentity,
        find_leader: Callable[[], Awaitable[str | None]],
        dial: Dial,
        highest_epoch: Callable[[], int],
    ) -> None:
        self.reconnects = 0
        self._clock = clock
        self._random = random
        self._random_bytes = random_bytes
        self._identity = identity
        self._find_leader = find_leader
        self._dial = dial
        self._highest_epoch = highest_epoch
        self._credits = Credits()
        self._waiting: dict[int, _Waiting] = {}  # by rising id: the order in which they were made
        self._last_id = 0
        self._connection: MasterConnection | None = None
        self._hint: str | None = None  # where the last master said that the leader is
        self._running: Deferred[None] | None = None
        self._stopped = False

    @property
    def is_connected(self) -> bool:
        """Whether a leader has welcomed this worker and has not gone silent."""
        return self._connection is not None

    @property
    def waiting(self) -> int:
        """Calls without an answer, those included that are not sent yet."""
        return len(self._waiting) + self._credits.waiting

    def start(self) -> None:
        """Looks for the leader, and keeps a connection to it until stopped."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(_ended)

    async def stop(self) -> None:
        """Ends the connection; calls without an answer are told that the outcome is unknown."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()
        for waiting in list(self._waiting.values()):
            _give(waiting, Failure(unknown_outcome()))

    async def call(
        self, call: calls.Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS
    ) -> calls.Answer:
        """See Link.call."""
        if self._stopped or self.waiting >= CALLS_LIMIT:
            raise unknown_outcome()
        limit_s = call_seconds()
        deadline = self._clock.seconds() + limit_s
        with self._credits.taking(options.origin or CURRENT_ORIGIN.get()) as turn:
            if turn is not None and not await granted(turn, self._clock, limit_s * LONGEST_WAIT_SHARE):
                raise busy(options.lane, UNKNOWN_RETRY_MS)
            return await self._call(call, key, options, deadline)

    async def _call(self, call: calls.Call, key: bytes | None, options: CallOptions, deadline: float) -> calls.Answer:
        if self._stopped:
            raise unknown_outcome()
        waiting = self._remember(call, key, options, deadline)
        left_s = max(0.0, deadline - self._clock.seconds())
        timer = self._clock.callLater(left_s, _give, waiting, Failure(unknown_outcome()))
        try:
            self._send(waiting)
            answer = await waiting.answer
        finally:
            _cancel(timer)
            del self._waiting[waiting.id]
        return _read_answer(type(call), answer, options.lane)

    def _remember(self, call: calls.Call, key: bytes | None, options: CallOptions, deadline: float) -> _Waiting:
        key = call_key(self._random_bytes(KEY_LENGTH)) if key is None else key
        assert len(key) == KEY_LENGTH, "a call's key has 16 bytes"
        self._last_id += 1
        request_id = options.request_id or CURRENT_REQUEST_ID.get()
        origin = options.origin or CURRENT_ORIGIN.get()
        name, body = type(call).__name__, calls.encode(call)
        waiting = _Waiting(self._last_id, key, name, body, options, deadline, request_id, origin)
        self._waiting[waiting.id] = waiting
        return waiting

    def _send(self, waiting: _Waiting) -> None:
        if self._connection is None or waiting.answer.called:
            return
        waiting.tries += 1
        if waiting.epoch is not None and waiting.epoch != self._connection.epoch:
            waiting.losses += 1
        waiting.epoch = self._connection.epoch
        time_left_ms = max(0, round(1000 * (waiting.deadline - self._clock.seconds())))
        options = waiting.options
        frame = CallFrame(
            waiting.id,
            waiting.key,
            waiting.name,
            msgspec.Raw(waiting.body),
            time_left_ms,
            options.lane,
            waiting.origin,
            waiting.tries,
            waiting.request_id,
            waiting.losses,
        )
        try:
            self._connection.send(frame)
        except BrokenFrame as error:
            _give(waiting, Failure(too_large(str(error))))

    def _answered(self, id: int, frame: Frame) -> None:
        waiting = self._waiting.get(id)
        if waiting is not None:  # else the caller is gone
            _give(waiting, frame)

    # --- the connection -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopped:
            try:
                await self._use_one_connection()
            except CancelledError:
                if self._stopped:
                    return
                _log.warn("the leader did not answer the door in time")  # a dial that was given up, no end
            except Exception as error:
                _log.warn("the leader cannot be reached: {error}", error=error)
            if self._stopped:
                return
            self.reconnects += 1
            await pause(self._clock, self._random.uniform(*RECONNECT_SECONDS))

    async def _use_one_connection(self) -> None:
        hint, self._hint = self._hint, None
        address = hint or await self._find_leader()
        if address is None or self._stopped:
            return
        hello = self._identity.hello(self._random_bytes, self._highest_epoch())
        connection = MasterConnection(self._clock, self._identity.secret, hello, self._answered)
        try:
            await self._enter(address, connection)
            self._connection = connection
            for waiting in list(self._waiting.values()):
                self._send(waiting)
            await connection.ended
        finally:
            self._connection = None
            self._hint = connection.leader_address
            if connection.stepped_down:
                for waiting in self._waiting.values():
                    waiting.epoch = None  # that master is not to be thought killed
            connection.abort()

    async def _enter(self, address: str, connection: MasterConnection) -> None:
        dialling: Deferred[object] = Deferred.fromCoroutine(_await(self._dial(address, connection)))
        timer = self._clock.callLater(DIAL_SECONDS, _give_up, dialling, connection)
        try:
            await dialling
            await connection.welcomed
        finally:
            _cancel(timer)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


def _give_up(dialling: Deferred[object], connection: MasterConnection) -> None:
    dialling.cancel()
    connection.abort()


def _give(waiting: _Waiting, outcome: Frame | Failure) -> None:
    if not waiting.answer.called:
        waiting.answer.callback(outcome)  # a Failure raises where it is awaited


def _read_answer(call: type[calls.Call], frame: Frame, lane: str) -> calls.Answer:
    if isinstance(frame, Done):
        return calls.decode_answer(call, frame.body)
    if isinstance(frame, Busy):
        raise busy(lane, frame.retry_after_ms)
    assert isinstance(frame, Failed)
    raise MatrixError(frame.status, frame.errcode, frame.error, msgspec.json.decode(frame.fields))


def _cancel(timer: DelayedCall) -> None:
    if timer.active():
        timer.cancel()


def _ended(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("the link to the master ended by a bug", failure=failure)
