"""`POST /sync`: sliding sync by its merged path, and by the one that apps released before that use.

Spec: MSC4186.
"""

from typing import Any, Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_workers.sync.parameters import Reader
from hs_workers.sync.presence_by_sync import PresenceBySync
from hs_workers.sync.sliding.answering import SlidingAnswering
from hs_workers.sync.sliding.parse import parse, parse_unstable
from hs_workers.sync.sliding.question import SlidingRequest

ROLE = "sync"
LARGEST_TIMEOUT_MS: Final = 2**31


class SlidingSync:
    """Parses the question, has it answered."""

    def __init__(self, answering: SlidingAnswering, presence: PresenceBySync, maximum_timeout_ms: int) -> None:
        self._answering = answering
        self._presence = presence
        self._maximum_timeout_ms = maximum_timeout_ms

    @endpoint(
        "POST",
        "/_matrix/client/v4/sync",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.NONE,
        reads=False,
        waits=True,
        suspended_ok=True,
        spec="MSC4186",
    )
    async def sync(self, request: Request) -> Reply:
        """What is new in the rooms that the client looks at."""
        return await self._answer(request, parse(_body(request), self._maximum_timeout_ms))

    @endpoint(
        "POST",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.NONE,
        reads=False,
        waits=True,
        suspended_ok=True,
        spec="MSC4186",
    )
    async def unstable_sync(self, request: Request) -> Reply:
        """The same in the words of before."""
        query = request.query
        timeout_ms = query.integer("timeout", 0, maximum=LARGEST_TIMEOUT_MS)
        parsed = parse_unstable(
            _body(request),
            query.string("pos", None),
            timeout_ms,
            query.string("set_presence", None),
            request.requester.user_id,
            self._maximum_timeout_ms,
        )
        return await self._answer(request, parsed)

    async def _answer(self, request: Request, question: SlidingRequest) -> Reply:
        requester = request.requester
        reader = Reader(requester.user_id, requester.device_id, requester.token_hash)

        def is_there() -> None:
            self._presence.syncs(reader.user_id, reader.device_id, question.set_presence)

        return Encoded(await self._answering.answer(reader, question, is_there))


def _body(request: Request) -> dict[str, Any]:
    return request.body(dict[str, Any])
