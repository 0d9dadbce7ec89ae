"""What the role asks of the place where bytes are kept, be it a folder or an object store.

Rules: a content is kept once, under the SHA-256 of its bytes, and never changes. It is there whole or not at all:
what is being received cannot be opened. Who may delete what is decided by whoever calls; the place knows no media.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

Piece = bytes | bytearray
"""Some bytes of a content, which do not change any more."""
PREFIXES: Final = 256
"""A place can be listed in so many parts, by the first byte of the digest."""


class StorageFailed(Exception):
    """The place cannot do it now: full, away, broken. For the operator; what was under way had no effect."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What was received: its SHA-256, its size in bytes."""

    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Found:
    """A content of the place, as its list has it."""

    sha256: bytes
    age_s: float


class Receiving(Protocol):
    """One content on its way in. Every method raises StorageFailed."""

    async def write(self, pieces: Sequence[Piece]) -> None:
        """More of it. Called again only after it returned."""

    async def keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        """Puts it in its place, with what was not written yet, its end; when this returns, it survives a crash. Called
        again with the same if it was deleted from there: it is put there once more."""

    def let_go(self) -> bool:
        """No other method will be called: True if nothing is left to be thrown away; else `discard` has to be, after
        all."""

    async def discard(self) -> None:
        """Throws away what is not in its place. May be called at any time, also while another method is under way."""


class Blob(Protocol):
    """A content that can be read. `size` in bytes."""

    size: int

    async def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; empty only at the end. Raises StorageFailed."""

    def close(self) -> None:
        """It is read no more."""


class BlobStore(Protocol):
    """The place. Every method that waits raises StorageFailed."""

    async def start(self) -> None:
        """Looks whether the place is there. Also OSError if it cannot be used."""

    def receive(self) -> Receiving:
        """A new content begins."""

    async def open(self, sha256: bytes) -> Blob | None:
        """The content, or None if it is not there."""

    def signed_url(self, sha256: bytes, content_type: str, disposition: str) -> str | None:
        """Where a client may fetch the content itself, for some minutes; None: nowhere but here."""

    async def delete(self, sha256: bytes) -> None:
        """Deletes a content, if it is there."""

    async def contents(self, prefix: int) -> Sequence[Found]:
        """All contents whose digest begins with that byte."""

    async def delete_unfinished(self, minimum_age_s: float) -> int:
        """Deletes what was being received and has not grown for that long; answers how many."""
