"""The operations, whoever asks for them.

Rules: what is quarantined stays and is sent to nobody: by its id, and by its bytes under any other id. Deleting deletes
the bytes too, at once where nobody else has the same ones; those that had to be put in place again within the last
hour go with a later sweep.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import not_found
from hs_common.process.background import Background
from hs_common.storage import media_administration, media_lifetimes, remote_media
from hs_common.storage.database import Database
from hs_common.storage.media_lifetimes import Deleted
from hs_common.storage.queries import DatabaseError
from hs_workers.media.administration.mentioned import Key, media_of_event
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.profile_media import profile_media
from hs_workers.media.retention import delete_unused_since
from hs_workers.media.sweeping import Sweeper

BATCH: Final = 500
EVENTS_AT_ONCE: Final = 500


class Administration:
    """`server_name` is this server's, `now_ms` the time of day."""

    def __init__(
        self,
        server_name: str,
        db: Database,
        sweeper: Sweeper,
        background: Background,
        now_ms: Callable[[], int],
    ) -> None:
        self._server_name = server_name
        self._db = db
        self._sweeper = sweeper
        self._background = background
        self._now_ms = now_ms
        self._log = Logger()

    # Quarantine

    async def quarantine(self, keys: Iterable[Key], by: str) -> int:
        """Takes media out of circulation; answers how many of them there are."""
        keys = list(keys)
        local = [media_id for server, media_id in keys if server == self._server_name]
        others = [key for key in keys if key[0] != self._server_name]
        async with self._db.transaction() as txn:
            digests = await media_administration.quarantine(txn, local, by)
            digests += await media_administration.quarantine_remote(txn, others, by)
            await media_administration.quarantine_contents(txn, sorted(set(digests)), by, self._now_ms())
        return len(digests)

    async def release(self, server_name: str, media_id: str) -> None:
        """Brings a medium back into circulation."""
        async with self._db.transaction() as txn:
            if server_name == self._server_name:
                digests = await media_administration.quarantine(txn, [media_id], None)
            else:
                digests = await media_administration.quarantine_remote(txn, [(server_name, media_id)], None)
            await media_administration.release_contents(txn, digests)

    async def quarantine_user(self, user_id: str, by: str) -> int:
        """All that a user uploaded."""
        async with self._db.transaction() as txn:
            digests = await media_administration.quarantine_user(txn, user_id, by)
            await media_administration.quarantine_contents(txn, sorted(set(digests)), by, self._now_ms())
        return len(digests)

    async def quarantine_room(self, room_id: str, by: str) -> int:
        """All that a room's events show."""
        return await self.quarantine(await self.media_of_room(room_id), by)

    async def quarantine_content(self, sha256: bytes, by: str) -> None:
        """Some bytes, whether anybody has uploaded them yet or not."""
        await media_administration.quarantine_contents(self._db, [sha256], by, self._now_ms())

    async def release_content(self, sha256: bytes) -> None:
        """404 `M_NOT_FOUND` for bytes that are not quarantined."""
        if not await media_administration.release_contents(self._db, [sha256]):
            raise not_found("No such content is quarantined")

    async def protect(self, media_id: str, protected: bool) -> None:
        """Protected media are never quarantined, and never deleted for their age."""
        if not await media_administration.protect(self._db, media_id, protected):
            raise not_found("There are no such media")

    async def media_of_room(self, room_id: str) -> list[Key]:
        """What the events of a room show, each once, as far as they are not encrypted."""
        found: dict[Key, None] = {}
        after = (-1, -(1 << 31))
        while rows := await media_administration.events_with_media(self._db, room_id, after, EVENTS_AT_ONCE):
            for order_pos, order_sub, json in rows:
                after = (order_pos, order_sub)
                found.update(dict.fromkeys(media_of_event(json)))
        return list(found)

    # Deleting

    async def delete(self, server_name: str, media_id: str) -> None:
        """404 `M_NOT_FOUND` if there are no such media."""
        if server_name == self._server_name:
            deleted = await media_lifetimes.delete_media(self._db, [media_id])
            if not deleted:
                raise not_found("There are no such media")
            await self._delete_bytes(_digests(deleted))
            return
        row = await media_administration.delete_remote(self._db, server_name, media_id)
        if row is None:
            raise not_found("There are no such media")
        await self._delete_bytes([] if row[0] is None else [bytes(row[0])])

    async def delete_all(self, media_ids: list[str]) -> list[str]:
        """Those of the media that there are, of this server."""
        deleted = await media_lifetimes.delete_media(self._db, media_ids)
        # Not before the answer: an object store takes a while for thousands.
        self._background("delete media", self._delete_bytes(_digests(deleted)))
        return [one.media_id for one in deleted]

    async def delete_unused_since(self, before_ms: int, larger_than: int, *, keeps_profiles: bool) -> list[str]:
        """Uploads that nobody was sent since, but for pictures of users and rooms if those are to be kept."""
        kept = await profile_media(self._db, self._server_name) if keeps_profiles else set()
        deleted = await delete_unused_since(self._db, before_ms, larger_than, kept)
        self._background("delete media", self._delete_bytes(_digests(deleted)))
        return [one.media_id for one in deleted]

    async def purge_remote(self, before_ms: int) -> int:
        """Media of other servers that nobody asked for since."""
        digests: list[bytes] = []
        while found := await remote_media.delete_remote_unused_since(self._db, before_ms, BATCH):
            digests += found
        self._background("delete media", self._delete_bytes(digests))
        return len(digests)

    async def _delete_bytes(self, digests: list[bytes]) -> None:
        try:
            await self._sweeper.delete_now(digests)
        except (StorageFailed, DatabaseError) as error:  # the second also if the storage takes long to answer
            self._log.error("Deleted media's bytes go with the next sweep: {error}", error=error)


def _digests(deleted: list[Deleted]) -> list[bytes]:
    return [one.sha256 for one in deleted if one.sha256 is not None]


def listed_json(one: media_administration.Listed) -> dict[str, Any]:
    """A medium of this server, as tools for Synapse want it."""
    told: dict[str, Any] = {
        "media_id": one.media_id,
        "created_ts": one.created_ts,
        "last_access_ts": one.last_access_ts or None,
        "media_length": one.size,
        "media_type": one.content_type,
        "upload_name": one.file_name,
        "quarantined_by": one.quarantined_by,
        "safe_from_quarantine": one.is_protected,
    }
    return told
