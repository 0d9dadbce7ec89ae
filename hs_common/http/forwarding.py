"""Hands a request that reached a worker without the endpoint's role to one that has it, and streams the answer back.

A reverse proxy with generated routes makes this rare; it makes wrong or missing routes a cost instead of an outage.
Rules: a request is forwarded once (the hop header); any failure of the other worker becomes 503 as JSON, which clients
repeat; nothing is sent a second time here, because a POST may have had its effect. Who takes no connection was sent
nothing, so another one is asked.
"""

from collections.abc import Awaitable, Callable, Sequence
from io import SEEK_END
from typing import Any, Final

from hs_common.http.faults import unavailable
from hs_common.http.hop import request_head
from hs_common.http.incoming import Incoming
from hs_common.http.kept_connection import NoResponse, Question, Sink
from hs_common.http.relay import NotListening, Relay

WORKERS_TRIED: Final = 3
"""With the time that a connection may take, still below the 10 s in which a request has to end."""


class Forwarder:
    """Forwards to one of the live workers, (host, port), that `find_workers` names for a role, in a random order.

    `look_again` reads anew who lives: asked when nobody named takes the request, as a worker may just have come.
    """

    def __init__(
        self,
        reactor: Any,
        find_workers: Callable[[str], Sequence[tuple[str, int]]],
        look_again: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._find_workers = find_workers
        self._look_again = look_again
        self._relay = Relay(reactor)

    async def forward(self, incoming: Incoming, role: str, sink: Sink) -> None:
        """Sends the request on and the response back. 503 if that fails before the response has begun, else
        BrokenResponse."""
        await self.send(_question(incoming), role, sink)

    async def send(self, question: Question, role: str, sink: Sink) -> None:
        """The same of a request whose bytes are there already. Who died a moment ago still has a fresh row, so the
        first that listens is asked."""
        if await self._ask_one(question, role, sink):
            return
        if self._look_again is not None:
            await self._look_again()
            if await self._ask_one(question, role, sink):
                return
        raise unavailable(f"No worker serves {role} requests at the moment")

    async def _ask_one(self, question: Question, role: str, sink: Sink) -> bool:
        """Whether a worker took the request and answered it."""
        for worker in self._find_workers(role)[:WORKERS_TRIED]:
            try:
                await self._relay.ask(worker, question, sink)
            except NotListening:
                continue
            except NoResponse as error:
                raise unavailable(f"The worker for {role} requests does not answer") from error
            return True
        return False

    async def close(self) -> None:
        """Closes the idle connections."""
        await self._relay.close()


def _question(incoming: Incoming) -> Question:
    content, stream, is_head = incoming.content, incoming.stream, incoming.method == "HEAD"
    if stream is not None:
        return Question(request_head(incoming, stream.length), content, 0, is_head, stream)
    size_bytes = content.seek(0, SEEK_END)
    content.seek(0)
    return Question(request_head(incoming, size_bytes), content, size_bytes, is_head)
