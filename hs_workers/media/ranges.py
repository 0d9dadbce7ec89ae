"""Which part of a body a client wants: the Range header, and the conditions on entity tags.

One range is served; several at once are legal to ignore, and then the whole is sent. Pure.
RFC 9110, sections 13 and 14.
"""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """`length` bytes from `first`."""

    first: int
    length: int


class Unsatisfiable(Exception):
    """The range lies behind the end: 416."""


def wanted_part(header: str | None, size: int) -> Part | None:
    """The part of a body of `size` bytes; None for all of it: no header, one that is malformed, or several ranges.

    Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise Unsatisfiable
        return Part(size - length, length)
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return Part(first, min(last, size - 1) - first + 1)


def matches(header: str, tag: str) -> bool:
    """Whether an If-None-Match header has the entity tag (quoted), compared weakly as it must be."""
    candidates = [candidate.strip().removeprefix("W/") for candidate in header.split(",")]
    return tag in candidates or candidates == ["*"]
