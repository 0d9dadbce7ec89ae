"""What travels between a worker and the master: frames of msgpack behind a length, and the proof of who speaks.

Both sides hold the cluster's secret and prove it before anything else is said: the worker says hello with a nonce, the
master answers with its own nonce and a proof over both, the worker proves itself, the master welcomes. The proofs cover
the whole hello, cluster id included. What follows is not encrypted: between machines that do not trust their network,
run it over TLS. Pure: must not know transports or time.
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import Final

import msgspec

from hs_common.replication.names import FRAME_LIMIT

LENGTH_BYTES: Final = 4
NONCE_BYTES: Final = 32
HANDSHAKE_LIMIT: Final = 4096  # bytes of a frame before the other side has proved itself


class BrokenFrame(Exception):
    """The other side does not speak this protocol, or not its secret. The connection is of no use."""


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="hello"):
    """The worker's first words. `highest_epoch`: of anything it has heard; a master below it leads no longer."""

    cluster_id: str
    role: str
    nonce: bytes
    oldest_format: int
    newest_format: int
    highest_epoch: int


class Challenge(msgspec.Struct, array_like=True, frozen=True, tag="challenge"):
    nonce: bytes
    proof: bytes


class Proof(msgspec.Struct, array_like=True, frozen=True, tag="proof"):
    proof: bytes


class Welcome(msgspec.Struct, array_like=True, frozen=True, tag="welcome"):
    format: int  # of the frames that follow
    epoch: int


class Refused(msgspec.Struct, array_like=True, frozen=True, tag="refused"):
    """No conversation is possible; `reason` is for people."""

    reason: str


class NotLeader(msgspec.Struct, array_like=True, frozen=True, tag="not_leader"):
    """This master does not lead. `address` of who does, if it knows. All calls on the connection are unanswered."""

    address: str | None


class CallFrame(msgspec.Struct, array_like=True, frozen=True, tag="call"):
    """A call. `id` names it on every connection of this worker's process; `key` makes it happen once.

    `time_left_ms`: after that the caller has given up. `tries`: how often it was sent, this time included.
    `origin`: whom it is for (a service, a user, a server), for fairness. `request_id`: of the request that caused it.
    `losses`: how many masters were succeeded without having said a word while they had the call: it may kill them.
    """

    id: int
    key: bytes
    name: str
    body: msgspec.Raw
    time_left_ms: int
    lane: str
    origin: str
    tries: int
    request_id: str
    losses: int = 0


class Done(msgspec.Struct, array_like=True, frozen=True, tag="done"):
    id: int
    body: msgspec.Raw


class Failed(msgspec.Struct, array_like=True, frozen=True, tag="failed"):
    """The call ended in a Matrix error. `fields`: the extra keys of its body, as JSON."""

    id: int
    status: int
    errcode: str
    error: str
    fields: bytes


class Busy(msgspec.Struct, array_like=True, frozen=True, tag="busy"):
    """The master's queue is full; nothing was done."""

    id: int
    retry_after_ms: int


class Ping(msgspec.Struct, array_like=True, frozen=True, tag="ping"):
    """Are you there?"""


class Pong(msgspec.Struct, array_like=True, frozen=True, tag="pong"):
    """Yes."""


Frame = (
    Hello | Challenge | Proof | Welcome | Refused | NotLeader | CallFrame | Done | Failed | Busy | Ping | Pong
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """The frame with its length in front. Raises BrokenFrame if it is above the limit."""
    payload = _encoder.encode(frame)
    if len(payload) > FRAME_LIMIT:
        raise BrokenFrame(f"a frame of {len(payload)} bytes is above the limit")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


class FrameReader:
    """Cuts a stream of bytes into frames. `limit` may be raised once the other side has proved itself."""

    def __init__(self, limit: int = HANDSHAKE_LIMIT) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises BrokenFrame; then the stream cannot be read any further."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= LENGTH_BYTES:
                body = start + LENGTH_BYTES
                length = int.from_bytes(self._buffer[start:body], "big")
                if length > self.limit:
                    raise BrokenFrame(f"a frame of {length} bytes is above the limit")
                if len(self._buffer) - body < length:
                    break
                with memoryview(self._buffer) as view:  # large frames are copied once
                    payload = bytes(view[body : body + length])
                start = body + length
                yield _decode(payload)
        finally:
            del self._buffer[:start]


def _decode(payload: bytes) -> Frame:
    try:
        frame: Frame = _decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise BrokenFrame(f"a frame cannot be read: {error}") from error
    return frame


def master_proof(secret: bytes, hello: Hello, nonce: bytes) -> bytes:
    """What the master proves to the worker that said `hello`."""
    return _proof(secret, b"master", hello, nonce)


def worker_proof(secret: bytes, hello: Hello, nonce: bytes) -> bytes:
    """What the worker proves to the master that gave `nonce`."""
    return _proof(secret, b"worker", hello, nonce)


def is_proof(given: bytes, expected: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given, expected)


def _proof(secret: bytes, side: bytes, hello: Hello, nonce: bytes) -> bytes:
    return hmac.digest(secret, _encoder.encode((b"viaduct link", side, hello, nonce)), hashlib.sha256)
