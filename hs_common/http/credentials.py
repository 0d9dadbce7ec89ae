"""Where a request says who it comes from: its access token and its address.

The token is turned into its digest here and goes no further; the path that is logged never has a query string.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import parse_qsl

from twisted.web.http_headers import Headers

from hs_common.matrix.errors import MatrixError, unknown_token

TOKEN_LENGTH_LIMIT = 4096
"""Ours are below 100 characters; tokens of other issuers (OAuth) stay under 4 KiB."""
ADDRESSES_REMEMBERED = 10_000
"""About 2 MiB. To read an address takes longer than anything else about a request's head, and clients come again."""
ADDRESS_LENGTH_LIMIT = 100
"""An IPv6 address has at most 39 characters, and a zone behind it. What is longer is none and is not remembered."""


def hash_token(token: str) -> bytes:
    """The digest that tables and caches know a token by. Tokens are random, so a fast hash without salt is enough."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def access_token_hash(headers: Headers, query_string: bytes) -> bytes | None:
    """The digest of the request's access token, None if there is none. Errors as `access_token`."""
    token = access_token(headers, query_string)
    return None if token is None else hash_token(token)


def access_token(headers: Headers, query_string: bytes) -> str | None:
    """The request's access token itself, for who has to ask another service about it; None if there is none.

    From `Authorization: Bearer`, or from `?access_token=`, which is deprecated but used by bridges and old bots.
    Different tokens in one request are 401 `M_MISSING_TOKEN`: guessing which one is meant would be worse.

    https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
    """
    tokens = set()
    for header in headers.getRawHeaders(b"authorization", ()):
        scheme, _, given = header.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            tokens.add(given.strip())
    if b"access_token" in query_string:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
        tokens.update(value for name, value in pairs if name == "access_token")
    tokens.discard("")
    if not tokens:
        return None
    if len(tokens) > 1:
        raise MatrixError(401, "M_MISSING_TOKEN", "The request has more than one access token")
    token = tokens.pop()
    if len(token) > TOKEN_LENGTH_LIMIT:
        raise unknown_token()
    return token


def client_address(peer: str, forwarded_for: Sequence[bytes], is_trusted: Callable[[str], bool]) -> str:
    """The client's IP address: the peer, unless the peer is one of our proxies; then the last address in
    `X-Forwarded-For` that is not. What stands to the left of that the client may have made up. An IPv4 address is told
    as such, also where a listener for both kinds wraps it into one of IPv6."""
    peer = _unmapped(peer)
    if not forwarded_for or not is_trusted(peer):
        return peer
    chain = [entry.strip()[:ADDRESS_LENGTH_LIMIT] for entry in b",".join(forwarded_for).decode("latin-1").split(",")]
    for address in map(_unmapped, reversed(chain)):
        if not _is_address(address):
            return peer
        peer = address
        if not is_trusted(address):
            return address
    return peer


def trusted_networks(networks: Sequence[str]) -> Callable[[str], bool]:
    """The test for "is one of our proxies" from addresses and networks such as `10.0.0.0/8`. ValueError for others."""
    parsed = [ip_network(network, strict=False) for network in networks]

    @lru_cache(ADDRESSES_REMEMBERED)
    def is_trusted(address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in parsed)

    return is_trusted


def _unmapped(text: str) -> str:
    """`192.0.2.1` for `::ffff:192.0.2.1`; everything else as it is."""
    if not text.lower().startswith("::ffff:") or not _is_address(text):
        return text
    mapped = IPv6Address(text).ipv4_mapped
    return text if mapped is None else str(mapped)


@lru_cache(ADDRESSES_REMEMBERED)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
