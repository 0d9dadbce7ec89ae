"""The endpoints that /sync replaced: `GET /initialSync` and `GET /events`. Peeking still uses the latter.

Both are /sync's answers in another form, so they know no other rules. A gap in a timeline is not told here: who was
away for long begins with /initialSync again.

Spec: client-server API, #get_matrixclientv3initialsync, #get_matrixclientv3events, #room-previews.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.filters import Filter, parse_filter
from hs_common.matrix.tokens import SyncToken, parse_room_token, parse_sync_token
from hs_common.storage import log, sync_personal
from hs_common.storage.queries import Queries
from hs_workers.sync import old_answers
from hs_workers.sync.answering import Answering
from hs_workers.sync.parameters import Reader, Wishes
from hs_workers.sync.peeking import Peeking

DEFAULT_LIMIT: Final = 20
MAXIMUM_LIMIT: Final = 100
"""Messages of each room."""
DEFAULT_TIMEOUT_MS: Final = 30_000


class OldSync:
    """Answers by what answers /sync."""

    def __init__(self, db: Queries, answering: Answering, peeking: Peeking, maximum_timeout_ms: int) -> None:
        self._db = db
        self._answering = answering
        self._peeking = peeking
        self._maximum_timeout_ms = maximum_timeout_ms

    @endpoint(
        "GET",
        "/_matrix/client/v3/initialSync",
        auth=Auth.USER,
        waits=True,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3initialsync",
    )
    async def initial_sync(self, request: Request) -> Reply:
        """Where all rooms stand."""
        limit = request.query.integer("limit", DEFAULT_LIMIT, 0, MAXIMUM_LIMIT)
        archived = request.query.boolean("archived", False)
        reader = _reader(request)
        wishes = Wishes(_filter(limit, archived), use_state_after=True)
        answer = await self._answering.at_once(reader, wishes, None)
        told = old_answers.parse(answer.body)
        rows = await sync_personal.rooms_told(self._db, reader.user_id, old_answers.rooms_of(told))
        return old_answers.initial_sync(told, rows)

    @endpoint(
        "GET",
        "/_matrix/client/v3/events",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.NONE,
        waits=True,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3events",
    )
    async def events(self, request: Request) -> Reply:
        """New events, of all rooms or of one that the requester may not be in; waits for them."""
        query = request.query
        start, room_id = query.string("from", None), query.string("room_id", None)
        timeout_ms = query.integer("timeout", DEFAULT_TIMEOUT_MS, 0, self._maximum_timeout_ms)
        reader = _reader(request)
        if room_id is not None:
            place = None if not start else parse_room_token(start)
            return await self._peeking.events(reader, room_id, place, timeout_ms / 1000)
        since = parse_sync_token(start) if start else SyncToken(await log.head(self._db))
        wishes = Wishes(_filter(MAXIMUM_LIMIT, archived=True))
        if timeout_ms:
            answer = await self._answering.waiting(reader, wishes, since, timeout_ms / 1000, _nothing)
        else:
            answer = await self._answering.at_once(reader, wishes, since)
        return old_answers.events(old_answers.parse(answer.body), str(since))


def _reader(request: Request) -> Reader:
    requester = request.requester
    return Reader(requester.user_id, requester.device_id, requester.token_hash)


def _filter(limit: int, archived: bool) -> Filter:
    return parse_filter({"room": {"timeline": {"limit": limit}, "include_leave": archived}})


def _nothing() -> None:
    """Nobody is online by this."""
