"""How one server proves to another that a request is its own: what is signed, and the `X-Matrix` header.

Spec: server-server API, #request-authentication.
"""

import re
from dataclasses import dataclass
from typing import Final

from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError, unauthorized
from hs_common.matrix.identifiers import is_key_id, is_server_name
from hs_common.matrix.signing import SigningKey

SCHEME: Final = "X-Matrix"
HEADER_LIMIT: Final = 4_096
"""Characters of the header: two server names, a key id and a signature are some hundred."""

# RFC 9110: a token or a quoted string; colons in unquoted values for servers that are older than the grammar.
_PARAMETER: Final = re.compile(
    r"""[ \t]*(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)="""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s",]*))[ \t]*(?:,|$)"""
)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class RequestClaim:
    """What a header says: who asks, whom, and the proof. `destination` is None where an old server does not say it."""

    origin: str
    destination: str | None
    key_id: str
    signature: str


def signed_bytes(method: str, uri: str, origin: str, destination: str, content: bytes | None) -> bytes:
    """What is signed. `uri` is the path with the query, as sent; `content` the body as canonical JSON, None without
    one."""
    parts = [] if content is None else [b'"content":' + content]
    named = (("destination", destination), ("method", method), ("origin", origin), ("uri", uri))
    parts += [b'"%s":%s' % (name.encode(), encode(value)) for name, value in named]
    return b"{" + b",".join(parts) + b"}"


def authorization(
    method: str, uri: str, origin: str, destination: str, content: bytes | None, key: SigningKey
) -> tuple[str, str]:
    """The header, as name and value, of a request of ours."""
    signature = key.sign_bytes(signed_bytes(method, uri, origin, destination, content))
    value = f'{SCHEME} origin="{origin}",destination="{destination}",key="{key.key_id}",sig="{signature}"'
    return "Authorization", value


def parse_authorization(header: str) -> RequestClaim:
    """The claim of a header. Raises MatrixError 401."""
    if len(header) > HEADER_LIMIT:
        raise unauthorized("The Authorization header is too long")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise _malformed()
    values = _parameters(rest)
    origin, key_id, signature = values.get("origin"), values.get("key"), values.get("sig")
    destination = values.get("destination")
    if not is_server_name(origin) or not is_key_id(key_id) or not signature:
        raise _malformed()
    if destination is not None and not is_server_name(destination):
        raise _malformed()
    return RequestClaim(origin, destination, key_id, signature)


def _parameters(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    at = 0
    text = text.strip(" \t")
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise _malformed()
        at = match.end()
        quoted = match["quoted"]
        name = match["name"].lower()
        if name in values:  # of two origins, which one would be meant?
            raise _malformed()
        values[name] = match["token"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
    return values


def _malformed() -> MatrixError:
    return unauthorized("The Authorization header is not one of X-Matrix with origin, destination, key and sig")
