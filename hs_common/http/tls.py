"""The TLS side of a listening port of our own, for servers without a reverse proxy.

The certificate's files are looked at again each minute, so that a renewed one is used without a restart; one that
cannot be read leaves the old one in use.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

LOOK_AGAIN_S: Final = 60.0
_log = Logger()


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFiles:
    """Makes the TLS side of each connection. `seconds` is a clock that never goes back."""

    def __init__(self, certificate_file: str, key_file: str, seconds: Callable[[], float]) -> None:
        """Raises OSError or OpenSSL.SSL.Error for files that cannot be used."""
        self._certificate_file = Path(certificate_file)
        self._key_file = Path(key_file)
        self._seconds = seconds
        self._looked = seconds()
        self._seen = self._times()
        self._context = self._load()

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        if self._seconds() - self._looked >= LOOK_AGAIN_S:
            self._look_again()
        return SSL.Connection(self._context, None)

    def wrap(self, listener: Any) -> Any:
        """The listener's factory behind TLS."""
        creator: Any = self  # zope's interfaces are no types
        return TLSMemoryBIOFactory(creator, False, listener)

    def _look_again(self) -> None:
        self._looked = self._seconds()
        try:
            seen = self._times()
            if seen != self._seen:
                self._context = self._load()
                self._seen = seen
                _log.info("the certificate {file} was read anew", file=self._certificate_file)
        except (OSError, SSL.Error) as error:
            _log.error("the certificate {file} cannot be read: {error}", file=self._certificate_file, error=error)

    def _times(self) -> tuple[int, int]:
        return self._certificate_file.stat().st_mtime_ns, self._key_file.stat().st_mtime_ns

    def _load(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate_chain_file(str(self._certificate_file))
        context.use_privatekey_file(str(self._key_file))
        context.check_privatekey()
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_alpn_select_callback(_http_1_1)
        return context


def _http_1_1(connection: Any, offered: list[bytes]) -> Any:
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
