"""Two places as one, while contents are moved from one to the other: new ones go to the new place, and are read from
wherever they are.

Rules: a content is in the new place before it leaves the old one, so who does not find it in the new, then not in the
old place, looks into the new one once more. What is deleted is deleted in both.
"""

from collections.abc import Sequence

from hs_workers.media.blobs import Blob, BlobStore, Found, Receiving


class TwoPlaces:
    """`new` is where contents are kept from now on, `old` where they still may be."""

    def __init__(self, new: BlobStore, old: BlobStore) -> None:
        self.new = new
        self.old = old

    async def start(self) -> None:
        await self.new.start()
        await self.old.start()

    def receive(self) -> Receiving:
        return self.new.receive()

    async def open(self, sha256: bytes) -> Blob | None:
        for place in (self.new, self.old, self.new):
            blob = await place.open(sha256)
            if blob is not None:
                return blob
        return None

    def signed_url(self, sha256: bytes, content_type: str, disposition: str) -> str | None:
        """None: whether the content is in the object store is not known here."""
        return None

    async def delete(self, sha256: bytes) -> None:
        await self.old.delete(sha256)
        await self.new.delete(sha256)

    async def contents(self, prefix: int) -> Sequence[Found]:
        """Each once, as old as its younger half."""
        youngest: dict[bytes, Found] = {}
        for place in (self.new, self.old):
            for found in await place.contents(prefix):
                known = youngest.get(found.sha256)
                if known is None or found.age_s < known.age_s:
                    youngest[found.sha256] = found
        return list(youngest.values())

    async def delete_unfinished(self, minimum_age_s: float) -> int:
        return await self.new.delete_unfinished(minimum_age_s) + await self.old.delete_unfinished(minimum_age_s)
