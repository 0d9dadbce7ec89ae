"""Bytes on their way to a store: hashed and counted as they come, and handed over many at once.

Rules: what is held is bounded. Hashing is done here and at once, while the bytes are in the processor's cache: a turn
of a thread for each piece costs more than it gives.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from hs_workers.media.blobs import Digest, Piece, Receiving

HELD_BYTES: Final = 1024 * 1024
"""Written at once: a thread costs the same for a small piece as for this, and most uploads are smaller."""
SMALL_BYTES: Final = 16 * 1024
"""Smaller pieces are put together, so that a client that sends single bytes does not make us keep a million objects."""


class Collecting:
    """One content for one `receiving`. `held_bytes` says how much may be held until it is written."""

    def __init__(self, receiving: Receiving, held_bytes: Callable[[], int] = lambda: HELD_BYTES) -> None:
        self._receiving = receiving
        self._held_bytes = held_bytes
        self._hash = hashlib.sha256()
        self._pieces: list[Piece] = []
        self._held = 0
        self.size = 0

    async def add(self, pieces: Sequence[bytes], size: int) -> None:
        """More of it, `size` bytes in all. Raises StorageFailed."""
        update = self._hash.update
        for piece in pieces:
            update(piece)
        self.size += size
        if self._held and self._held + size > self._held_bytes():
            held, self._pieces, self._held = self._pieces, [], 0
            await self._receiving.write(held)
        self._held += size
        for piece in pieces:
            if len(piece) >= SMALL_BYTES:
                self._pieces.append(piece)
            else:
                self._add_small(piece)

    def _add_small(self, piece: bytes) -> None:
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def digest(self) -> Digest:
        """Of all that came."""
        return Digest(self._hash.digest(), self.size)

    async def keep(self) -> None:
        """Puts it in its place; when this returns, it survives a crash. May be called again, if it was deleted from
        there. Raises StorageFailed."""
        await self._receiving.keep(self.digest(), self._pieces)

    def let_go(self) -> bool:
        """Nothing more is done with it: True if nothing is left to be thrown away; else `discard` has to be called."""
        return self._receiving.let_go()

    async def discard(self) -> None:
        """Throws away what is not in its place. May be called at any time."""
        await self._receiving.discard()
