"""`GET /sync`: the endpoint.

Spec: client-server API, #get_matrixclientv3sync.
"""

from collections.abc import Callable

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_workers.sync.answering import Answering
from hs_workers.sync.client_filters import ClientFilters
from hs_workers.sync.parameters import Reader, Wishes, parse
from hs_workers.sync.presence_by_sync import PresenceBySync

ROLE = "sync"


class Sync:
    """Parses the question, has it answered."""

    def __init__(
        self,
        answering: Answering,
        filters: ClientFilters,
        presence: PresenceBySync,
        seconds: Callable[[], float],
        maximum_timeout_ms: int,
    ) -> None:
        self._answering = answering
        self._filters = filters
        self._presence = presence
        self._seconds = seconds
        self._maximum_timeout_ms = maximum_timeout_ms

    @endpoint(
        "GET",
        "/_matrix/client/v3/sync",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.NONE,
        waits=True,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3sync",
    )
    async def sync(self, request: Request) -> Reply:
        """What is new since a token, or where things stand; waits for news if the client does."""
        parameters = parse(request.query, self._maximum_timeout_ms)
        requester = request.requester
        reader = Reader(requester.user_id, requester.device_id, requester.token_hash)
        filter = await self._filters.of(reader.user_id, parameters.filter)
        wishes = Wishes(filter, parameters.full_state, parameters.use_state_after)

        def is_there() -> None:
            self._presence.syncs(reader.user_id, reader.device_id, parameters.set_presence)

        if parameters.since is None or not parameters.waits:
            is_there()
            answer = await self._answering.at_once(reader, wishes, parameters.since)
        else:
            timeout_s = parameters.timeout_s - self._waited_s(request)
            answer = await self._answering.waiting(reader, wishes, parameters.since, timeout_s, is_there)
        return Encoded(answer.body)

    def _waited_s(self, request: Request) -> float:
        """For how long the request has waited already: it may come from the quick lane."""
        return 0.0 if request.started_s is None else self._seconds() - request.started_s
