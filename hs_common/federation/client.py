"""Requests to other servers, signed, and their answers.

    body = await federation.get("example.org", path("/_matrix/federation/v1/event/{}", event_id))

Rules: a server that the config forbids, or that is backed off from, is sent nothing. An answer is bounded in size, time
and depth. Raises FederationError, and nothing else, for what is the other side's doing. What an answer means is not
known here.
"""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from hs_common.federation.back_off import BackOff
from hs_common.federation.discovery import Discovery, Place
from hs_common.federation.domains import Domains
from hs_common.federation.failures import AnsweredError, BadAnswer, NotFederating, ServerUnreachable
from hs_common.http.egress.answer import Answer
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import (
    AnswerTooLarge,
    EgressError,
    NotConnected,
    NotResolved,
    NotTrusted,
    TimedOut,
    Unreachable,
)
from hs_common.matrix.canonical_json import decode, encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import is_server_name
from hs_common.matrix.request_signing import authorization
from hs_common.matrix.signing import SigningKey

Query = Mapping[str, str | Sequence[str]]

QUICK: Final = Limits(total_s=10.0, idle_s=10.0, body_bytes=1 << 20)
"""For what a client waits for: each request of a client ends within about ten seconds."""
USUAL: Final = Limits(total_s=30.0, idle_s=20.0, body_bytes=8 << 20)
"""For work between servers: pages of events, which may have 64 KiB each."""
ERROR_BODY_BYTES: Final = 64 * 1024
UNAVAILABLE: Final = (502, 503, 504)
"""Answers of a server, or its proxy, that cannot work now. A 429 is about one kind of requests, not about all."""
LONGEST_RETRY_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    server_name: str
    key: SigningKey


class FederationClient:
    """Asks other servers."""

    def __init__(
        self,
        identity: Identity,
        domains: Domains,
        discovery: Discovery,
        egress: EgressClient,
        back_off: BackOff,
        clock: Any = None,
    ) -> None:
        """With a `clock` (the reactor) finding a server counts as a part of the time that asking it may take."""
        self.identity = identity
        self.domains = domains
        self.back_off = back_off
        self._discovery = discovery
        self._egress = egress
        self._clock = clock

    async def get(self, destination: str, path: str, query: Query | None = None, limits: Limits = USUAL) -> Any:
        """The JSON object of an answer 200."""
        return await self.json(destination, "GET", path, query, None, limits)

    async def post(self, destination: str, path: str, body: Mapping[str, Any], limits: Limits = USUAL) -> Any:
        """The same of a POST. `body` has canonical JSON."""
        return await self.json(destination, "POST", path, None, encode(body), limits)

    async def put(self, destination: str, path: str, body: Mapping[str, Any], limits: Limits = USUAL) -> Any:
        """The same of a PUT. `body` has canonical JSON."""
        return await self.json(destination, "PUT", path, None, encode(body), limits)

    async def json(
        self,
        destination: str,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        limits: Limits = USUAL,
        *,
        backs_off: bool = True,
    ) -> Any:
        """The JSON of an answer, an object or a list. `body` is canonical JSON. Without `backs_off` the server is asked
        although it failed lately."""
        answer = await self.open(destination, method, path, query, body, limits, backs_off=backs_off)
        value = decoded(destination, await read_body(destination, answer), limits.body_bytes)
        if not isinstance(value, dict | list):
            raise BadAnswer(destination, "the answer is neither an object nor a list")
        return value

    async def open(
        self,
        destination: str,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        limits: Limits = USUAL,
        *,
        backs_off: bool = True,
    ) -> Answer:
        """An answer 2xx whose body is still coming: read it or close it. Its `read` raises EgressError."""
        self._check(destination, backs_off)
        uri = path + (f"?{urlencode(query, doseq=True)}" if query else "")
        headers = [authorization(method, uri, self.identity.server_name, destination, body, self.identity.key)]
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        try:
            answer = await self._in_time(self._at_places(destination, method, uri, headers, body, limits), limits)
        except EgressError as error:
            if isinstance(error, Unreachable) and not (limits.hurried and isinstance(error, TimedOut)):
                self.back_off.failed(destination, error.kind)
            raise ServerUnreachable(destination, error.kind, str(error)) from error
        if 200 <= answer.status < 300:
            self.back_off.alive(destination)
            return answer
        raise await self._error(destination, answer)

    async def _in_time(self, asking: Coroutine[Any, Any, Answer], limits: Limits) -> Answer:
        work = Deferred.fromCoroutine(asking)
        if self._clock is not None:
            work.addTimeout(limits.total_s, self._clock, _timed_out)
        return await work

    def _check(self, destination: str, backs_off: bool) -> None:
        if not is_server_name(destination) or not self.domains.may_talk(destination):
            raise NotFederating(destination, "the config forbids to talk with it")
        if backs_off:
            self.back_off.check(destination)

    async def _at_places(
        self,
        destination: str,
        method: str,
        uri: str,
        headers: list[tuple[str, str]],
        body: bytes | None,
        limits: Limits,
    ) -> Answer:
        """The answer of the first place that takes the request: where nothing was sent, the next one may be asked."""
        places: list[Place] = await self._discovery.places(destination)
        for place in places[:-1]:
            try:
                return await self._egress.ask(
                    Purpose.FEDERATION, place.target, method, uri, place.host, headers, body, limits
                )
            except (NotResolved, NotConnected, NotTrusted):
                continue
        last = places[-1]
        return await self._egress.ask(Purpose.FEDERATION, last.target, method, uri, last.host, headers, body, limits)

    async def _error(self, destination: str, answer: Answer) -> AnsweredError:
        retry_after_s = _retry_after_s(answer)
        body: Any = None
        try:
            body = decode(await answer.read_all(), ERROR_BODY_BYTES)
        except (MatrixError, EgressError):  # a proxy's page: its status says enough
            body = None
        error = AnsweredError(destination, answer.status, body, retry_after_s)
        if error.status in UNAVAILABLE:
            self.back_off.failed(destination, "unavailable", retry_after_s)
        else:
            self.back_off.alive(destination)
        return error


async def read_body(destination: str, answer: Answer) -> bytes:
    """The rest of an answer. Raises FederationError."""
    try:
        return await answer.read_all()
    except AnswerTooLarge as error:
        raise BadAnswer(destination, str(error)) from error
    except EgressError as error:
        raise ServerUnreachable(destination, error.kind, str(error)) from error


def decoded(destination: str, data: bytes, limit_bytes: int) -> Any:
    """JSON of an answer. Raises BadAnswer."""
    try:
        return decode(data, limit_bytes)
    except MatrixError as error:
        raise BadAnswer(destination, error.error) from error


def path(template: str, *values: str) -> str:
    """A path with values in it, each `{}` percent-encoded."""
    return template.format(*(quote(value, safe="") for value in values))


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.header("retry-after")
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return min(float(text), LONGEST_RETRY_AFTER_S)


def _timed_out(result: Any, timeout: float) -> Any:
    if isinstance(result, Failure):
        raise TimedOut(f"no answer within {timeout:g} s")
    return result
