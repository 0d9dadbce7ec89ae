"""How asking another server can fail, typed by what there is to do about it."""

from typing import Final

from hs_common.matrix.errors import MatrixError, unknown

GATEWAY_STATUS: Final = 502


class FederationError(Exception):
    """Another server was not asked, did not answer, or answered an error. `destination` is its name; the text is for
    logs."""

    def __init__(self, destination: str, reason: str) -> None:
        super().__init__(f"{destination}: {reason}")
        self.destination = destination
        self.reason = reason

    def for_client(self) -> MatrixError:
        """What a client is told whose request needed the other server."""
        return unknown(f"The server {self.destination} cannot be reached", status=GATEWAY_STATUS)


class NotFederating(FederationError):
    """The config forbids to talk with it. Nothing was sent."""

    def for_client(self) -> MatrixError:
        return MatrixError(403, "M_FORBIDDEN", f"This server does not talk with {self.destination}")


class BackingOff(FederationError):
    """It failed lately and is left alone for `seconds` more. Nothing was sent."""

    def __init__(self, destination: str, seconds: float) -> None:
        super().__init__(destination, f"is left alone for {seconds:.0f} s")
        self.seconds = seconds


class ServerUnreachable(FederationError):
    """There is no answer. `kind` is that of the egress failure: dns, connect, tls, timeout, broken, busy, …"""

    def __init__(self, destination: str, kind: str, reason: str) -> None:
        super().__init__(destination, reason)
        self.kind = kind


class BadAnswer(FederationError):
    """The answer is not what it must be: no JSON, too large, not what was asked for."""

    def for_client(self) -> MatrixError:
        return unknown(f"The server {self.destination} gave a bad answer", status=GATEWAY_STATUS)


class AnsweredError(FederationError):
    """It answered an error: `status`, and `errcode` and `error` where the body has them."""

    def __init__(self, destination: str, status: int, body: object, retry_after_s: float | None = None) -> None:
        fields = body if isinstance(body, dict) else {}
        errcode, error = fields.get("errcode"), fields.get("error")
        self.status = status
        self.errcode = errcode if isinstance(errcode, str) and len(errcode) <= 255 else "M_UNKNOWN"
        self.error = error[:1000] if isinstance(error, str) else "It gave no reason"
        self.body = fields
        self.retry_after_s = retry_after_s
        super().__init__(destination, f"{status} {self.errcode}: {self.error}")

    def for_client(self) -> MatrixError:
        """Its own words where it refused, as the specification has remote errors passed on."""
        if 400 <= self.status < 500 and self.status not in (401, 405, 407, 408, 429):
            return MatrixError(self.status, self.errcode, self.error)
        return unknown(f"The server {self.destination} answered an error: {self.error}", status=GATEWAY_STATUS)
