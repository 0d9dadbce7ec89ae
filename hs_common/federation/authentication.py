"""Tells which server a request is from: by its signature, checked with the server's keys.

Rules: everything that needs no keys is checked first, so that nobody makes us ask for keys with a request that could
never be good. A request signed for another destination is refused, or it could be replayed here.

Spec: server-server API, #request-authentication.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from os import SEEK_END
from typing import Any, Final

from hs_common.federation.accounts import Accounts
from hs_common.federation.back_off import BackOff
from hs_common.federation.domains import Domains
from hs_common.federation.key_ring import KeyRing, Proof
from hs_common.http.incoming import Incoming
from hs_common.http.server_calls import ServerCaller, claims_of
from hs_common.matrix.canonical_json import decode, encode, encode_lenient
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, unauthorized
from hs_common.matrix.request_signing import RequestClaim, signed_bytes
from hs_common.matrix.signing import SignatureError

DEPTH_LIMIT: Final = 250
"""Levels of a body: what an event may have, and the transaction around it. The encoder writes no more than 254."""
LARGE_BYTES: Final = 1 << 20
"""Of a body that is not read before its sender's key is known."""
BODY_LIMIT: Final = 64 << 20
"""The endpoints declare smaller ones; the largest is what a big room's join may need."""


class RequestAuthenticator:
    """`now_ms` is the time of day."""

    def __init__(
        self,
        server_name: str,
        domains: Domains,
        keys: KeyRing,
        back_off: BackOff,
        accounts: Accounts,
        now_ms: Callable[[], int],
    ) -> None:
        self._server_name = server_name
        self._accounts = accounts
        self._domains = domains
        self._keys = keys
        self._back_off = back_off
        self._now_ms = now_ms
        self.on_alive: Callable[[str], None] = lambda origin: None  # a server has proved to be there

    def admit(self, origin: str) -> None:
        """As `ServerAuthenticator.admit`."""
        self._accounts.admit(origin)

    async def caller(self, incoming: Incoming) -> ServerCaller:
        """As `ServerAuthenticator.caller`."""
        claims = claims_of(incoming.headers)
        origin, destination = claims[0].origin, claims[0].destination
        if destination not in (None, self._server_name):
            raise unauthorized(f"The request is for {destination}, and this is {self._server_name}")
        if not self._domains.may_talk(origin):
            raise forbidden("This server does not talk with yours")
        if incoming.content.seek(0, SEEK_END) > LARGE_BYTES:
            await self._refuse_unknown(origin, claims)
        body, content = _parsed(incoming)
        uri = incoming.uri_path
        if incoming.query_string:
            uri += "?" + incoming.query_string.decode("latin-1")
        # Who is too old to name the destination in the header has signed it all the same: it is ours, or a replay.
        data = signed_bytes(incoming.method, uri, origin, self._server_name, content)
        try:
            await self._check(origin, claims, data)
        except MatrixError:
            if incoming.query_string or content is not None:
                raise
            # What was sent may end in a bare `?`, which is signed too, and which neither we nor proxies pass on. Large
            # bodies are not checked twice for it: that would cost us more than their sender.
            await self._check(
                origin, claims, signed_bytes(incoming.method, uri + "?", origin, self._server_name, content)
            )
        self._back_off.alive(origin)
        self.on_alive(origin)
        return ServerCaller(origin, body)

    async def _refuse_unknown(self, origin: str, claims: Sequence[RequestClaim]) -> None:
        """Whose key cannot be had cannot be right: his body is not read, nor held while his keys are asked for."""
        named = [claim.key_id for claim in claims]
        await self._keys.refresh(origin, named, self._now_ms())
        known = await self._keys.keys_of(origin)
        if not any(key_id in known for key_id in named):
            raise unauthorized("The request's signature is not valid: its key is not known")

    async def _check(self, origin: str, claims: Sequence[RequestClaim], data: bytes) -> None:
        signatures = {origin: {claim.key_id: claim.signature for claim in claims}}
        try:
            await self._keys.verify(Proof(origin, data, signatures, self._now_ms(), in_use=True))
        except SignatureError as error:
            raise unauthorized(f"The request's signature is not valid: {error}") from error


def _parsed(incoming: Incoming) -> tuple[dict[str, Any] | None, bytes | None]:
    """The body, and its canonical form. Raises MatrixError."""
    incoming.content.seek(0)
    raw = incoming.content.read()
    if not raw:
        return None, None
    body = decode(raw, BODY_LIMIT, DEPTH_LIMIT)
    if not isinstance(body, dict):
        raise bad_json("The body must be a JSON object")
    return body, _canonical(body)


def _canonical(body: dict[str, Any]) -> bytes:
    """Old rooms have events with floats and large integers, which transactions carry too."""
    with suppress(TypeError):  # a large integer; or a lone surrogate, which the other encoder refuses as well
        if not _has_float(body):
            return encode(body)
    return _lenient(body)


def _lenient(body: dict[str, Any]) -> bytes:
    try:
        return encode_lenient(body)
    except ValueError as error:
        raise bad_json("The body has no canonical JSON") from error


def _has_float(value: Any) -> bool:
    level = [value]
    while level:
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is float:
                return True
            if kind is dict:
                inner.extend(item.values())
            elif kind is list:
                inner.extend(item)
        level = inner
    return False
