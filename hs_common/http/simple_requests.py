"""What a request of the simple shape looks like, for both quick lanes: the grammar of its header lines, and the memory
of what a client's lines say. Pure.

Rules: bytes that are not exactly of the simple shape are declined, never judged: twisted.web gets the very same bytes
then. A client's lines are the same bytes in each of its requests, but for the number that a proxy or the front door
gives each: they are read once, and what they say is remembered under their digest. What a lane declines beyond what
both do, and what it wants to know, is its own.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Generic, NamedTuple, TypeVar

from hs_common.bounded import Bounded
from hs_common.http.hop import REQUEST_ID_HEADER

HEAD_LIMIT_BYTES: Final = 8 * 1024
"""Half of what twisted.web takes for a head. A poll with a filter in its URL has some 2 KiB."""
HEADERS_LIMIT: Final = 100
"""Browsers send twenty, with proxies before us thirty; twisted.web takes 500."""
REMEMBERED_LIMIT: Final = 10_000
"""As many as connections; some 500 bytes each."""

REQUEST_ID: Final = re.compile(rb"^x-request-id: ?([!-~]+)\r\n", re.IGNORECASE | re.MULTILINE)
"""The line that differs between requests of one client. The beginning of a line is looked for in no other way: as what
stands behind a line feed it takes four times as long, a tenth of what reading a request costs."""
DECLINED: Final = frozenset(
    (b"content-length", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade", REQUEST_ID_HEADER)
)
"""What changes how the connection goes on, or says that there is a body; and a second number."""
_FIELD: Final = re.compile(rb"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)")

T = TypeVar("T")


class Field(NamedTuple):
    """A header line: its name in lower case, its value, and where it stands, its line break included."""

    name: bytes
    value: bytes
    begin: int
    end: int


def read_fields(lines: bytes, declined: frozenset[bytes] = DECLINED) -> Sequence[Field] | None:
    """Header lines, each with its line break; None for anything unusual."""
    split = lines.split(b"\r\n")
    if split.pop() or len(split) > HEADERS_LIMIT:
        return None
    fields: list[Field] = []
    at = 0
    for line in split:
        begin, at = at, at + len(line) + 2
        match = _FIELD.fullmatch(line)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if name in declined or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        fields.append(Field(name, value, begin, at))
    return fields


def without(line: re.Pattern[bytes], lines: bytes) -> tuple[bytes, bytes | None]:
    """Header lines without the first of that kind, and its value."""
    found = line.search(lines)
    return (lines, None) if found is None else (lines[: found.start()] + lines[found.end() :], found[1])


class ReadOnce(Generic[T]):
    """What clients' header lines say, by `read`, which answers None for what is declined: that is not remembered."""

    def __init__(self, read: Callable[[bytes], T | None], limit: int = REMEMBERED_LIMIT) -> None:
        self._read = read
        # When the oldest goes and its client is still there, that costs one reading.
        self._known = Bounded[bytes, T](limit)

    def __len__(self) -> int:
        return len(self._known)

    def of(self, lines: bytes) -> T | None:
        """What they say; None if they are declined."""
        digest = sha256(lines).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._read(lines)
            if known is not None:
                self._known[digest] = known
        return known
