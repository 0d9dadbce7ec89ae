"""Encrypted connections to whom we mean: certificates by known authorities, for the name that was asked for.

One TLS context serves all connections: making one reads all authorities of the system, which takes some 20 ms.
"""

from typing import Any, Final

from OpenSSL import SSL
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from hs_common.http.egress.names import is_address

_PROTOCOLS: Final = [b"http/1.1"]


class Trust:
    """Whom to believe: the system's authorities and those of a PEM file; or, for tests, anybody."""

    def __init__(self, ca_file: str = "", *, verify: bool = True) -> None:
        """Raises OpenSSL.SSL.Error for a file without certificates."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos(_PROTOCOLS)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_default_verify_paths()
        if ca_file:
            context.load_verify_locations(ca_file)
        if verify:
            context.set_verify(SSL.VERIFY_PEER, _as_openssl_says)
            context.set_info_callback(_check_name)
        self._context = context

    def expecting(self, name: str) -> "Expecting":
        """Makes connections to a host of this name, or of this address."""
        return Expecting(self._context, name)


@implementer(IOpenSSLClientConnectionCreator)
class Expecting:
    """As twisted wants it: the TLS side of one connection."""

    def __init__(self, context: SSL.Context, name: str) -> None:
        self._context = context
        self._name = name

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        connection: Any = SSL.Connection(self._context, None)
        connection.set_app_data(protocol)
        connection.expected_name = self._name
        if not is_address(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii"))
        return connection  # type: ignore[no-any-return]


def _as_openssl_says(connection: Any, certificate: Any, error: int, depth: int, is_good: int) -> bool:
    return bool(is_good)


def _check_name(connection: Any, where: int, _result: int) -> None:
    """The certificate's name, once the chain was found good. Nothing is sent before this."""
    if not where & SSL.SSL_CB_HANDSHAKE_DONE:
        return
    name = connection.expected_name
    try:
        verify_ip_address(connection, name.strip("[]")) if is_address(name) else verify_hostname(connection, name)
    except Exception:  # whatever it is, and in OpenSSL's callback nothing may be raised
        connection.get_app_data().failVerification(Failure())
