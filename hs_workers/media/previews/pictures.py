"""Pictures of previews: fetched into the store as media of nobody, if they are pictures at all.

Rules: a picture is what a decoder in a thumbnail process can measure, whatever its server says it is, and it is served
as that. Nobody's quota pays for it.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hs_common.http.egress.answer import Answer
from hs_common.storage import media
from hs_common.storage.media import Content
from hs_common.storage.queries import Queries
from hs_workers.media.keeping import Keeping
from hs_workers.media.thumbnail_processes import ThumbnailProcesses
from hs_workers.media.thumbnail_protocol import CONTENT_TYPES, Job, Kind, decode_size

MEDIA_ID_BYTES: Final = 18
NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One that is kept. `size` in bytes."""

    media_id: str
    content_type: str
    size: int
    width: int
    height: int


class Pictures:
    """`now_ms` is the time of day; `random(n)` gives n unpredictable bytes."""

    def __init__(
        self,
        keeping: Keeping,
        processes: ThumbnailProcesses,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
        limit_bytes: int,
        maximum_pixels: int,
        is_public: bool,
    ) -> None:
        self._keeping = keeping
        self._processes = processes
        self._now_ms = now_ms
        self._random = random
        self._limit_bytes = limit_bytes
        self._maximum_pixels = maximum_pixels
        self._is_public = is_public

    async def keep(self, answer: Answer) -> Picture | None:
        """The picture that this answer is; None for what is none. Raises EgressError, ReceivedTooMuch, StorageFailed;
        closes the answer."""
        try:
            async with self._keeping.incoming() as incoming:
                digest = await incoming.receive(answer.read, self._limit_bytes, wants_head=True)
                seen = await self._processes.make(Job(incoming.head, 0, 0, self._maximum_pixels, False, False))
                if seen.kind is not Kind.MEASURED or seen.content_type not in CONTENT_TYPES:
                    return None
                media_id, pixels = urlsafe_b64encode(self._random(MEDIA_ID_BYTES)).decode(), decode_size(seen.data)
                content = Content(digest.sha256, digest.size, seen.content_type, None, self._is_public)

                async def record(db: Queries) -> None:
                    await media.add_media(db, media_id, NOBODY, self._now_ms(), content)

                await incoming.keep_with(digest, record)
                return Picture(media_id, seen.content_type, digest.size, pixels.width, pixels.height)
        finally:
            answer.close()
