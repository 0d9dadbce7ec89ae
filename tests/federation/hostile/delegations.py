"""What a hostile domain says when it is asked where its server is: redirects without end, inwards, away from https;
answers without end, or a byte now and then.

Played against the real client and the real rules, but on a port that a test may have: the specification says 443.

Spec: server-server API, #resolving-server-names (step 3).
"""

from collections.abc import Callable
from itertools import count
from typing import Any, Final

from twisted.internet.task import LoopingCall

from hs_common.federation.well_known import LIMITS
from tests.common.http.egress.outside import Script, Talk, answer
from tests.reactor import reactor

DOMAIN: Final = "evil.example"
INSIDE: Final = "inside.example"
"""A name of an address inside."""
GOOD: Final = b'{"m.server":"there.example:8448"}'
DRIP_S: Final = 0.05


def leading_to(location: str) -> Script:
    """Each answer leads on to there."""
    return lambda request, talk: talk.write(answer(b"", 302, f"Location: {location}"))


def endless_redirects() -> Script:
    """Always another path, so no two are the same."""
    numbers = count()
    return lambda request, talk: talk.write(answer(b"", 307, f"Location: /next{next(numbers)}"))


def endless_body(request: bytes, talk: Talk) -> None:
    """Of no announced length."""
    talk.write(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD + b" " * (2 * LIMITS.body_bytes))


def large_body(request: bytes, talk: Talk) -> None:
    """Good but for its size."""
    talk.write(answer(GOOD + b" " * LIMITS.body_bytes))


def endless_head(request: bytes, talk: Talk) -> None:
    """Headers, and more headers."""
    talk.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200_000)


def large_redirect(request: bytes, talk: Talk) -> None:
    """A redirect with a body that nobody reads."""
    talk.write(b"HTTP/1.1 302 Found\r\nLocation: /on\r\nContent-Length: 100000000\r\n\r\n" + b" " * 1_000_000)


def dripping(request: bytes, talk: Talk) -> None:
    """A byte now and then, so that nobody can say it is silent."""
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")

    def drip() -> Any:
        if talk in talk.server.open:
            talk.write(b" ")
        else:
            dripped.stop()

    dripped = LoopingCall(drip)
    dripped.clock = reactor
    dripped.start(DRIP_S)


def nothing(request: bytes, talk: Talk) -> None:
    """Silence."""


PLAYS: Final[dict[str, Callable[[], Script]]] = {
    "endless-redirects": endless_redirects,
    "in-circles": lambda: leading_to("/.well-known/matrix/server"),
    "to-a-private-address": lambda: leading_to("https://10.0.0.1/.well-known/matrix/server"),
    "to-a-private-name": lambda: leading_to(f"https://{INSIDE}/.well-known/matrix/server"),
    "to-the-cloud's-secrets": lambda: leading_to("https://169.254.169.254/latest/meta-data"),
    "to-loopback-of-ipv6": lambda: leading_to("https://[::1]:8008/"),
    "away-from-https": lambda: leading_to(f"http://{DOMAIN}/.well-known/matrix/server"),
    "to-no-url": lambda: leading_to("https://[::1/"),
    "to-a-file": lambda: leading_to("file:///etc/passwd"),
    "large-redirect": lambda: large_redirect,
    "endless-body": lambda: endless_body,
    "large-body": lambda: large_body,
    "endless-head": lambda: endless_head,
    "dripping": lambda: dripping,
    "nothing": lambda: nothing,
}
