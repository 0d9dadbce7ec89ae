"""How a request to the outside can fail. Each has a `kind`, a short word for metrics and for who backs off by it."""

from typing import Final


class EgressError(Exception):
    """There is no answer, or none that is wanted. The text says why, for logs: it may name addresses of networks that
    users must not learn of."""

    kind: str = "error"


class NotAllowed(EgressError):
    """The policy forbids to connect there."""

    kind = "not_allowed"


class AnswerTooLarge(EgressError):
    """The answer is larger than the limit."""

    kind = "too_large"


class BadUrl(EgressError):
    """This is no URL that can be asked."""

    kind = "bad_url"


class TooManyRedirects(EgressError):
    """It was redirected more often than allowed."""

    kind = "redirects"


class Unreachable(EgressError):
    """No answer, or only a part of one."""

    kind = "unreachable"


class NotResolved(Unreachable):
    """The name has no address."""

    kind = "dns"


class NotConnected(Unreachable):
    """Nothing takes connections there. Nothing was sent."""

    kind = "connect"


class NotTrusted(Unreachable):
    """There is no encrypted connection to whom we meant. Nothing was sent."""

    kind = "tls"


class TimedOut(Unreachable):
    """It took too long. What was asked may have had its effect."""

    kind = "timeout"


class BrokenOff(Unreachable):
    """The connection ended, or what came was no answer. What was asked may have had its effect."""

    kind = "broken"


class Busy(Unreachable):
    """Too many requests to the same place wait already."""

    kind = "busy"


SUCCESS: Final = "answered"
"""The outcome of a request that was answered, whatever its status."""
