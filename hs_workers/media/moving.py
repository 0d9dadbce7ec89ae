"""Moves contents from the place where they were kept to the one where they are kept now, a step at a time.

Rules: each content is read whole, hashed anew and durable in the new place before it goes from the old one; so a step
may break off anywhere and be taken again, by any worker, and what is broken stays where it is. Only what the database
knows is moved: the rest is the sweeper's. A content that is deleted while it is copied is gone afterwards: its row says
so, which is looked at once more when the copy is there, and the copy is deleted like any other.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from hs_common.http.streaming import PIECE_BYTES
from hs_common.process.background import Background
from hs_common.storage import media_contents
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import PREFIXES, BlobStore
from hs_workers.media.collecting import Collecting
from hs_workers.media.deleting import Deleting
from hs_workers.media.two_places import TwoPlaces

AT_ONCE: Final = 8
"""An object store takes some 50 ms for each content, however small."""
STEP_S: Final = 5.0
"""No content is begun after that; proxies wait for an answer for longer."""


class NothingMoves(Exception):
    """There is one place only."""


class _Broken(Exception):
    """The bytes are not those that their name says."""


@dataclass(slots=True)
class Step:
    """What a step did. `part` and `after` are where the next one begins: behind that digest of that part of the place;
    all is done if it is `PREFIXES`. `broken` lists contents that cannot be moved, `unknown` counts those that the
    database does not know."""

    part: int
    after: bytes
    moved: int = 0
    moved_bytes: int = 0
    unknown: int = 0
    broken: list[bytes] = field(default_factory=list)


class Mover:
    """`seconds` is a monotonic clock."""

    def __init__(
        self,
        store: BlobStore,
        db: Queries,
        deleting: Deleting,
        background: Background,
        seconds: Callable[[], float],
    ) -> None:
        self._places = store if isinstance(store, TwoPlaces) else None
        self._db = db
        self._deleting = deleting
        self._background = background
        self._seconds = seconds

    async def step(self, part: int, after: bytes, *, keeps: bool) -> Step:
        """Moves contents from there on, for a while; with `keeps` they also stay where they were. Raises NothingMoves,
        StorageFailed."""
        if self._places is None:
            raise NothingMoves
        step, end_s = Step(part, after), self._seconds() + STEP_S
        while step.part < PREFIXES and self._seconds() < end_s:
            await self._move_part(self._places, step, end_s, keeps)
        return step

    async def _move_part(self, places: TwoPlaces, step: Step, end_s: float, keeps: bool) -> None:
        """What is left of the step's part, or what time lets."""
        found = sorted(one.sha256 for one in await places.old.contents(step.part) if one.sha256 > step.after)
        there = {one.sha256 for one in await places.new.contents(step.part)} if found else set()
        known = await media_contents.known_contents(self._db, found) if found else set()
        for begin in range(0, len(found), AT_ONCE):
            if self._seconds() >= end_s:
                return
            batch = found[begin : begin + AT_ONCE]
            wanted = [one for one in batch if one in known and not (keeps and one in there)]
            await _all([self._move(places, sha256, step, sha256 in there, keeps) for sha256 in wanted])
            step.unknown += sum(one not in known for one in batch)
            step.after = batch[-1]
        step.part, step.after = step.part + 1, b""

    async def _move(self, places: TwoPlaces, sha256: bytes, step: Step, is_there: bool, keeps: bool) -> None:
        if not is_there:
            try:
                size = await self._copied(places, sha256)
            except _Broken:
                step.broken.append(sha256)
                return
            if not await media_contents.is_kept_content(self._db, sha256):
                await self._deleting.delete_refused(sha256)
                return
            step.moved_bytes += size
        if not keeps:
            await places.old.delete(sha256)
        step.moved += 1

    async def _copied(self, places: TwoPlaces, sha256: bytes) -> int:
        """How many bytes it has; 0 if it has gone meanwhile."""
        blob = await places.old.open(sha256)
        if blob is None:
            return 0
        content = Collecting(places.new.receive())
        try:
            while data := await blob.read(content.size, PIECE_BYTES):
                await content.add((data,), len(data))
            if content.digest().sha256 != sha256:
                raise _Broken
            await content.keep()
        finally:
            blob.close()
            if not content.let_go():
                self._background("discard upload", content.discard())
        return blob.size


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Waits for all, and then raises what the first that failed raised."""
    failures: list[Failure] = []
    await gatherResults([Deferred.fromCoroutine(one).addErrback(failures.append) for one in work])
    if failures:
        failures[0].raiseException()
