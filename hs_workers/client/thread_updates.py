"""Threads that went on, over all rooms of a user: what sliding sync's extension had no room for.

Spec: MSC4360.
"""

import orjson

from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.room_view import Reader
from hs_common.reading.thread_updates import MAXIMUM_THREADS, Stretch, ThreadUpdates
from hs_common.storage import log
from hs_common.storage.queries import Queries
from hs_common.storage.room_members import joined_rooms
from hs_workers.client.paging import is_forwards, room_token

BEGINNING = RoomToken(0)


class ThreadUpdatesEndpoint:
    """Pages from the newest back; each thread is on one of them."""

    def __init__(self, db: Queries, updates: ThreadUpdates) -> None:
        self._db = db
        self._updates = updates
        self._settings = ReaderSettings(db)

    @endpoint(
        "GET",
        "/_matrix/client/v1/thread_updates",
        auth=Auth.USER,
        aliases=(unstable("io.element.msc4360"),),
        spec="MSC4360",
    )
    async def get(self, request: Request) -> Reply:
        """A page of threads with their roots."""
        query, requester = request.query, request.requester
        if is_forwards(query):
            raise invalid_param("`dir` must be `b`: threads are told from the newest back")
        low, high = room_token(query, "to") or BEGINNING, RoomToken(await log.head(self._db))
        start = room_token(query, "from")
        stretch = Stretch(low, high if start is None else min(start, high))
        limit = query.integer("limit", MAXIMUM_THREADS, 1, MAXIMUM_THREADS)
        rooms = await joined_rooms(self._db, requester.user_id)
        ignored = (await self._settings.fresh(requester.user_id)).ignored
        reader = Reader(requester.user_id, requester.device_id)
        found = await self._updates.page(reader, rooms, ignored, stretch, limit, with_roots=True)
        chunk = {"chunk": orjson.Fragment(orjson.dumps(found.threads))}
        return chunk if found.more is None else {**chunk, "next_batch": str(found.more)}
