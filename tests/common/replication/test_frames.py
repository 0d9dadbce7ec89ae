"""Frames survive any cutting of the stream, and what is no frame ends it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.frames import (
    HANDSHAKE_LIMIT,
    NONCE_BYTES,
    BrokenFrame,
    Busy,
    CallFrame,
    Challenge,
    Done,
    Failed,
    Frame,
    FrameReader,
    Hello,
    NotLeader,
    Ping,
    Pong,
    Proof,
    Refused,
    Welcome,
    encode_frame,
    is_proof,
    master_proof,
    worker_proof,
)
from hs_common.replication.names import FRAME_LIMIT

TEXT = st.text(max_size=8)
NUMBER = st.integers(0, 2**53)
BYTES = st.binary(max_size=40)
RAW = st.recursive(st.none() | NUMBER | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=4).map(
    lambda value: msgspec.Raw(msgspec.msgpack.encode(value))
)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Hello, TEXT, TEXT, BYTES, NUMBER, NUMBER, NUMBER),
    st.builds(Challenge, BYTES, BYTES),
    st.builds(Proof, BYTES),
    st.builds(Welcome, NUMBER, NUMBER),
    st.builds(Refused, TEXT),
    st.builds(NotLeader, st.none() | TEXT),
    st.builds(CallFrame, NUMBER, BYTES, TEXT, RAW, NUMBER, TEXT, TEXT, NUMBER, TEXT),
    st.builds(Done, NUMBER, RAW),
    st.builds(Failed, NUMBER, NUMBER, TEXT, TEXT, BYTES),
    st.builds(Busy, NUMBER, NUMBER),
    st.just(Ping()),
    st.just(Pong()),
)
HELLO = Hello("cluster", "client", bytes(NONCE_BYTES), 1, 1, 5)


@given(st.lists(FRAMES, max_size=6), st.data())
def test_any_chunking_gives_the_same_frames(frames: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = FrameReader()
    received: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed(stream[start:end])
    assert received == frames


@given(st.binary(min_size=1, max_size=200))
def test_noise_is_waited_for_or_named(noise: bytes) -> None:
    reader = FrameReader()
    try:
        received = list(reader.feed(noise))
    except BrokenFrame:
        return
    assert all(isinstance(frame, msgspec.Struct) for frame in received)


def test_a_stranger_cannot_make_us_wait_for_a_large_frame() -> None:
    with pytest.raises(BrokenFrame, match="limit"):
        list(FrameReader().feed((HANDSHAKE_LIMIT + 1).to_bytes(4, "big")))


def test_a_raised_limit_holds_from_the_next_frame_on() -> None:
    large = Refused("x" * (HANDSHAKE_LIMIT + 1))
    reader = FrameReader()
    received: list[Frame] = []
    for frame in reader.feed(encode_frame(Ping()) + encode_frame(large)):
        received.append(frame)
        reader.limit = FRAME_LIMIT
    assert received == [Ping(), large]


def test_too_large_a_frame_is_not_written() -> None:
    with pytest.raises(BrokenFrame, match="limit"):
        encode_frame(Refused("x" * FRAME_LIMIT))


def test_proofs_differ_by_everything_they_cover() -> None:
    nonce = b"n" * NONCE_BYTES
    other_hello = msgspec.structs.replace(HELLO, cluster_id="other")
    proofs = {
        worker_proof(b"secret", HELLO, nonce),
        master_proof(b"secret", HELLO, nonce),
        worker_proof(b"other", HELLO, nonce),
        worker_proof(b"secret", other_hello, nonce),
        worker_proof(b"secret", HELLO, b"m" * NONCE_BYTES),
    }
    assert len(proofs) == 5
    assert is_proof(worker_proof(b"secret", HELLO, nonce), worker_proof(b"secret", HELLO, nonce))
