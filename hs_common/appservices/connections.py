"""Connections to application services: one request and its answer, bounded in size and time.

A service is where its registration says, in private networks too. All that a service is asked may be asked again: a
transaction is known by its id, queries and pings change nothing. So a kept connection that the service just closed is
no failure.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from hs_common.appservices.http_answer import HttpAnswer
from hs_common.http.egress.client import PORTS, parse_url
from hs_common.http.egress.connecting import Connector, Target
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import AnswerTooLarge
from hs_common.http.egress.names import split_port
from hs_common.http.egress.policy import EgressPolicy
from hs_common.http.egress.pool import Pool
from hs_common.http.egress.question import encode_question
from hs_common.http.egress.resolving import Resolver, system_lookup
from hs_common.http.egress.trust import Trust
from hs_common.process.worker_threads import WorkerThreads

ANSWER_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Third-party lookups may answer long lists; nothing else answers more than a line."""
RESOLVING_THREADS: Final = 2
RESOLVING_QUEUE: Final = 256
REMEMBERED_URLS: Final = 1_000
"""As many as services, and more."""


class _Place(NamedTuple):
    """Where a service is asked: its URL, read. `path` is what stands before all paths."""

    target: Target
    host: str
    path: str


class Connections:
    """All that a process has open to services."""

    def __init__(self, reactor: Any) -> None:
        self._threads = WorkerThreads(reactor, RESOLVING_THREADS, "resolving services", RESOLVING_QUEUE)
        resolver = Resolver(self._threads, reactor.seconds, system_lookup)
        self._pool = Pool(reactor, Connector(reactor, resolver, EgressPolicy(), Trust()))

    def close(self) -> None:
        """Closes the idle ones."""
        self._pool.close()
        self._threads.close()

    async def ask(
        self, method: str, base: str, path: str, headers: list[tuple[str, str]], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        """Asks at a path behind the service's URL. Raises EgressError."""
        place = _place(base)
        question = encode_question(method, place.path + path, place.host, headers, body)
        limits = Limits(timeout_s, timeout_s, ANSWER_LIMIT_BYTES)
        answer = await self._pool.ask(place.target, question, limits, is_repeatable=True)
        try:
            return HttpAnswer(answer.status, await answer.read_all())
        except AnswerTooLarge:
            return HttpAnswer(answer.status, b"")


@lru_cache(REMEMBERED_URLS)
def _place(url: str) -> _Place:
    parts = parse_url(url)
    host, port = split_port(parts.netloc)
    tls_name = host if parts.scheme == "https" else None
    return _Place(Target(host, port or PORTS[parts.scheme], tls_name, is_vouched=True), parts.netloc, parts.path)
