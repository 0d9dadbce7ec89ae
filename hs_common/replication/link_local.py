"""The link of the all-in-one process: the master's work is called in the same process.

Rules: calls and answers are encoded and decoded as on the wire, and each call begins in a reactor turn of its own, so
that nothing works here that would not work between processes. A call that meets a master without leadership is repeated
under its key until there is one or its time is over. Must not know what calls mean.
"""

import itertools
from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.process.request_id import CURRENT_ORIGIN, CURRENT_REQUEST_ID
from hs_common.replication import calls
from hs_common.replication.clock import Clock, pause
from hs_common.replication.credits import LONGEST_WAIT_SHARE, Credits, granted
from hs_common.replication.keys import call_key
from hs_common.replication.link_interface import (
    DEFAULT_OPTIONS,
    UNKNOWN_RETRY_MS,
    CallOptions,
    busy,
    call_seconds,
    unknown_outcome,
)
from hs_common.replication.link_server import CallInfo, CallWork, LeaderElsewhere, TooBusy
from hs_common.replication.names import KEY_LENGTH

LEADERLESS_PAUSE_S = 0.1  # while the master does not lead: it is starting, or has lost its database for a moment

_log = Logger()


class LocalLink:
    """A link to the master in this process. `random_bytes(n)` gives bytes that nobody can guess, for keys."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes], work: CallWork) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._work = work
        self._credits = Credits()

    async def call(
        self, call: calls.Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS
    ) -> calls.Answer:
        """See Link.call. A caller that gives up does not stop the work, as between processes."""
        key = call_key(self._random_bytes(KEY_LENGTH)) if key is None else key
        assert len(key) == KEY_LENGTH, "a call's key has 16 bytes"
        limit_s = call_seconds()
        deadline = self._clock.seconds() + limit_s
        with self._credits.taking(options.origin or CURRENT_ORIGIN.get()) as turn:
            if turn is not None and not await granted(turn, self._clock, limit_s * LONGEST_WAIT_SHARE):
                raise busy(options.lane, UNKNOWN_RETRY_MS)
            return await self._call(call, key, options, deadline)

    async def _call(self, call: calls.Call, key: bytes, options: CallOptions, deadline: float) -> calls.Answer:
        answer: Deferred[bytes] = Deferred()
        working = Deferred.fromCoroutine(self._do(type(call).__name__, calls.encode(call), key, options, deadline))
        working.addBoth(lambda outcome: None if answer.called else answer.callback(outcome))
        timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), answer.cancel)
        try:
            body = await answer
        except CancelledError:
            if timer.active():
                raise  # it is the caller who gave up
            raise unknown_outcome() from None
        finally:
            if timer.active():
                timer.cancel()
        return calls.decode_answer(type(call), body)

    async def _do(self, name: str, body: bytes, key: bytes, options: CallOptions, deadline: float) -> bytes:
        await pause(self._clock, 0)
        request_id = options.request_id or CURRENT_REQUEST_ID.get()
        origin = options.origin or CURRENT_ORIGIN.get()
        for tries in itertools.count(1):
            left_s = deadline - self._clock.seconds()
            if left_s <= 0:
                break
            info = CallInfo(key, round(1000 * left_s), options.lane, origin, tries, request_id, worker="local")
            try:
                return await self._try(name, body, info)
            except LeaderElsewhere:
                await pause(self._clock, LEADERLESS_PAUSE_S)
        raise unknown_outcome()

    async def _try(self, name: str, body: bytes, info: CallInfo) -> bytes:
        try:
            return await self._work(name, msgspec.Raw(body), info)
        except (MatrixError, LeaderElsewhere):
            raise
        except TooBusy as error:
            raise busy(info.lane, error.retry_after_ms) from None
        except Exception:
            _log.failure("call {name} of request {request} failed", name=name, request=info.request_id)
            raise unknown("Internal server error") from None
