"""What a worker and its thumbnail processes say to each other, over pipes: one job, one answer, and again.

Imported on both sides, so it imports nothing but the standard library.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import IO, Final

CONTENT_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""All that a thumbnail can be, and all that it can be made of."""

_JOB: Final = struct.Struct(">IIQQ??")
_SIZE: Final = struct.Struct(">II")
_ANSWER: Final = struct.Struct(">BBQ")


class Kind(IntEnum):
    """What became of a job."""

    MADE = 0
    """The thumbnail follows."""
    ORIGINAL = 1
    """The picture is no larger than what was asked for."""
    TOO_LARGE = 2
    """It has too many pixels, or takes too much memory or time."""
    UNREADABLE = 3
    """It is no picture of a known kind, or a broken one."""
    MEASURED = 4
    """Its size was wanted, and follows."""


@dataclass(frozen=True, slots=True)
class Job:
    """A picture's bytes and the box to make of it; with `crop` the box is filled, else the picture fits into it. A box
    without width asks for the picture's own size, for which the beginning of the bytes is enough."""

    data: bytes
    width: int
    height: int
    maximum_pixels: int
    crop: bool
    animated: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`content_type` is what the bytes really are; `data` is empty unless made."""

    kind: Kind
    content_type: str = CONTENT_TYPES[0]
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a picture, in pixels."""

    width: int
    height: int


class PipeEnded(Exception):
    """The other side has gone."""


def write_job(pipe: IO[bytes], job: Job) -> None:
    head = _JOB.pack(job.width, job.height, job.maximum_pixels, len(job.data), job.crop, job.animated)
    _write(pipe, head, job.data)


def read_job(pipe: IO[bytes]) -> Job:
    """Raises PipeEnded."""
    width, height, maximum_pixels, size, crop, animated = _JOB.unpack(_read(pipe, _JOB.size))
    return Job(_read(pipe, size), width, height, maximum_pixels, crop, animated)


def write_answer(pipe: IO[bytes], answer: Answer) -> None:
    head = _ANSWER.pack(answer.kind, CONTENT_TYPES.index(answer.content_type), len(answer.data))
    _write(pipe, head, answer.data)


def read_answer(pipe: IO[bytes]) -> Answer:
    """Raises PipeEnded."""
    kind, content_type, size = _ANSWER.unpack(_read(pipe, _ANSWER.size))
    return Answer(Kind(kind), CONTENT_TYPES[content_type], _read(pipe, size))


def encode_size(size: Size) -> bytes:
    return _SIZE.pack(size.width, size.height)


def decode_size(data: bytes) -> Size:
    return Size(*_SIZE.unpack(data))


def _write(pipe: IO[bytes], head: bytes, data: bytes) -> None:
    pipe.write(head)
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise PipeEnded
    return data
