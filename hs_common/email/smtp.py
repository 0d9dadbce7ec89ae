"""Hands one mail to the SMTP server: connect, encrypt, log in, deliver, leave.

Rules: without the encryption that is configured nothing is sent, and no password either; the server's certificate must
be good for its name. Every step has a time limit.

Spec: RFC 5321, RFC 3207 (STARTTLS), RFC 8314 (implicit TLS).
"""

from io import BytesIO
from typing import IO, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.mail.smtp import (
    ESMTPClient,
    LOGINAuthenticator,
    PLAINAuthenticator,
    SMTPClientError,
    SMTPDeliveryError,
)
from twisted.python.failure import Failure

from hs_common.config.email import Email
from hs_common.email.mail import MailFailed

KEPT_LINES: Final = 20
"""Lines of the conversation that an error shows."""
_PERMANENT: Final = range(500, 600)


class Smtp:
    """`trust_root` is whose certificates are believed; None: those of the system."""

    def __init__(self, reactor: Any, settings: Email, own_name: str, trust_root: Any = None) -> None:
        self._reactor = reactor
        self._settings = settings
        self._own_name = own_name
        self._trust_root = trust_root

    async def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        """Returns when the server has taken the mail. Raises MailFailed."""
        settings = self._settings
        timeout_s = settings.timeout_ms / 1000
        endpoint: Any = HostnameEndpoint(self._reactor, settings.smtp_host, settings.smtp_port, timeout=timeout_s)
        tls = None if settings.security == "none" else self._tls()
        if tls is not None and settings.security == "tls":
            endpoint = wrapClientTLS(tls, endpoint)
        delivery = _Delivery(settings, tls, self._own_name, (sender, recipient, content))
        try:
            await connectProtocol(endpoint, delivery)
        except (ConnectError, OSError) as error:
            raise MailFailed(f"the SMTP server {settings.smtp_host} cannot be reached: {error}") from error
        await delivery.done

    def _tls(self) -> IOpenSSLClientConnectionCreator:
        more: dict[str, Any] = {} if self._trust_root is None else {"trustRoot": self._trust_root}
        creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(self._settings.smtp_host, **more)
        return creator


class _Delivery(ESMTPClient):
    """One conversation. Twisted's client asks for the parts of the mail; `done` has the outcome."""

    def __init__(
        self,
        settings: Email,
        tls: IOpenSSLClientConnectionCreator | None,
        own_name: str,
        mail: tuple[str, str, bytes],
    ) -> None:
        super().__init__(settings.password.encode(), tls, own_name.encode(), KEPT_LINES)  # type: ignore[no-untyped-call]
        self.timeout: Any = settings.timeout_ms / 1000
        self.requireAuthentication = bool(settings.username)
        self.requireTransportSecurity = settings.security != "none"
        self._tlsMode = settings.security == "tls"
        if settings.username:
            for way in (PLAINAuthenticator, LOGINAuthenticator):
                self.registerAuthenticator(way(settings.username.encode()))  # type: ignore[no-untyped-call]
        self._sender: str | None = mail[0]
        self._recipients = [mail[1]]
        self._content = _on_the_wire(mail[2])
        self.done: Deferred[None] = Deferred()

    def getMailFrom(self) -> str | None:
        """The envelope's sender; None the second time: there is no further mail."""
        sender, self._sender = self._sender, None
        return sender

    def getMailTo(self) -> list[str]:
        return self._recipients

    def getMailData(self) -> IO[bytes]:
        return BytesIO(self._content)

    def transformChunk(self, chunk: bytes) -> bytes:
        """The content is in its form for the wire as a whole: in pieces, a dot that begins a line could be missed."""
        return chunk

    def sentMail(self, code: int, resp: bytes, numOk: int, addresses: Any, log: Any) -> None:
        """The server has decided on the mail."""
        if numOk:
            self._finish(None)
        else:
            answers = [f"{status} {_text(reason)}" for _, status, reason in addresses] or [f"{code} {_text(resp)}"]
            self._finish(MailFailed(f"the SMTP server refused the mail: {'; '.join(answers)}", code in _PERMANENT))

    def sendError(self, exc: Exception) -> None:
        """The conversation went wrong."""
        self._finish(MailFailed(f"the SMTP server did not take the mail: {_reason(exc)}"))
        super().sendError(exc)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._finish(MailFailed(f"the SMTP server ended the connection: {reason.getErrorMessage()}"))

    def _finish(self, error: MailFailed | None) -> None:
        if self.done.called:
            return
        if error is None:
            self.done.callback(None)
        else:
            self.done.errback(error)


def _on_the_wire(content: bytes) -> bytes:
    """With CRLF, and with each dot that begins a line doubled (RFC 5321, 4.5.2). The first line is a header."""
    return content.replace(b"\r\n", b"\n").replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")


def _reason(error: Exception) -> str:
    if isinstance(error, SMTPDeliveryError | SMTPClientError):
        return f"{error.code} {_text(error.resp)}"
    return str(error)


def _text(answer: object) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
