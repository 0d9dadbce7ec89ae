"""What others use to ask the outside: by URL (`fetch`, `open`), or at a place that they have found themselves (`ask`).

    answer = await egress.fetch(Purpose.PUSH, "POST", url, body=b"{}", limits=Limits(total_s=10))

Rules: only http and https; no names and passwords in URLs. A redirect is followed only where the limits say so, is
judged anew, never leads from https to http, and takes no header but what the first request said to anybody.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from hs_common.http.egress.answer import Answer
from hs_common.http.egress.connecting import Target
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import SUCCESS, BadUrl, EgressError, TooManyRedirects
from hs_common.http.egress.names import split_port
from hs_common.http.egress.pool import Pool
from hs_common.http.egress.question import Headers, encode_question
from hs_common.version import VERSION

URL_LIMIT: Final = 8_192
"""Characters; servers refuse longer ones."""
USER_AGENT: Final = f"Viaduct/{VERSION}"
PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REPEATABLE: Final = ("GET", "HEAD", "PUT")
_FOR_ANYBODY: Final = ("accept", "accept-language", "user-agent")


class Purpose(Enum):
    """What a request is for: a label of metrics."""

    FEDERATION = "federation"
    DISCOVERY = "discovery"
    MEDIA = "media"
    PREVIEW = "preview"
    PUSH = "push"
    IDENTITY = "identity"
    SIGN_IN = "sign_in"


class Observer(Protocol):
    """Is told of each request."""

    def egress_finished(self, purpose: str, outcome: str, seconds: float) -> None:
        """`outcome` is `answered` or the kind of a failure; an answer's body may still be coming."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer. `url` is where it was found after redirects."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    url: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        wanted = name.lower().encode("ascii")
        return next((value.strip().decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)


class EgressClient:
    """Asks. `seconds` is a clock that never goes back."""

    def __init__(self, pool: Pool, observer: Observer, seconds: Callable[[], float]) -> None:
        self._pool = pool
        self._observer = observer
        self._seconds = seconds

    async def ask(
        self,
        purpose: Purpose,
        target: Target,
        method: str,
        path: str,
        host: str,
        headers: Headers = (),
        body: bytes | None = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Asks at a place. `path` is percent-encoded, with the query; `host` the Host header. Raises EgressError."""
        question = encode_question(method, path, host, [("User-Agent", USER_AGENT), *headers], body)
        started, outcome = self._seconds(), "cancelled"
        try:
            answer = await self._pool.ask(
                target,
                question,
                limits or Limits(),
                is_head=method == "HEAD",
                is_repeatable=method in _REPEATABLE,
            )
            outcome = SUCCESS
        except EgressError as error:
            outcome = error.kind
            raise
        finally:
            self._observer.egress_finished(purpose.value, outcome, self._seconds() - started)
        return answer

    async def open(
        self,
        purpose: Purpose,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits | None = None,
    ) -> tuple[Answer, str]:
        """Asks a URL and follows redirects. The answer, to be read or closed, and where it was found. Raises
        EgressError."""
        limits, given = limits or Limits(), dict(headers or {})
        ends_at = self._seconds() + limits.total_s
        for _ in range(limits.redirects + 1):
            parts = parse_url(url)
            left = Limits(max(0.0, ends_at - self._seconds()), limits.idle_s, limits.body_bytes)
            answer = await self.ask(
                purpose, _target(parts), method, _path(parts), parts.netloc, tuple(given.items()), body, left
            )
            location = answer.header("location") if answer.status in _REDIRECTS and limits.redirects else None
            if location is None:
                return answer, url
            answer.close()
            following = _redirected(url, location)
            if urlsplit(following)[:2] != urlsplit(url)[:2]:
                given = {name: value for name, value in given.items() if name.lower() in _FOR_ANYBODY}
            url = following
            if answer.status == 303 and method != "HEAD":
                method, body = "GET", None
        raise TooManyRedirects(f"more than {limits.redirects} redirects")

    async def fetch(
        self,
        purpose: Purpose,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limits: Limits | None = None,
    ) -> Fetched:
        """As `open`, with all of the body. Raises EgressError, whatever the limits say was too much."""
        answer, found = await self.open(purpose, method, url, headers, body, limits)
        return Fetched(answer.status, answer.headers, await answer.read_all(), found)

    async def close(self) -> None:
        """Closes the idle connections."""
        self._pool.close()


def parse_url(url: str) -> SplitResult:
    """A URL that may be asked, its host in ASCII. Raises BadUrl."""
    if len(url) > URL_LIMIT or any(ord(character) <= 32 for character in url):
        raise BadUrl("the URL is too long or contains white space")
    try:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or "@" in parts.netloc or not parts.hostname:
            raise BadUrl("only http: and https: URLs with a host and without a user can be asked")
        netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
        split_port(netloc)
    except ValueError as error:  # also UnicodeError
        raise BadUrl(f"the URL cannot be read: {error}") from error
    return parts._replace(netloc=netloc)


def _target(parts: SplitResult) -> Target:
    host, port = split_port(parts.netloc)
    return Target(host, port or PORTS[parts.scheme], host if parts.scheme == "https" else None)


def _path(parts: SplitResult) -> str:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path if path.isascii() else "".join(c if c.isascii() else _escaped(c) for c in path)


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _redirected(url: str, location: str) -> str:
    try:
        following = urljoin(url, location).partition("#")[0]
    except ValueError as error:
        raise BadUrl(f"a redirect leads nowhere: {error}") from error
    if urlsplit(url).scheme == "https" and not following.startswith("https:"):
        raise BadUrl("a redirect leads away from https")
    return following
