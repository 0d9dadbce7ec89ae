"""The client and the key ring as the parts that receive events use them: failures are Matrix errors there."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from hs_common.federation.client import FederationClient
from hs_common.federation.failures import FederationError, ServerUnreachable
from hs_common.federation.interfaces import Query
from hs_common.federation.key_ring import KeyRing
from hs_common.http.egress.answer import Answer
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError, unknown
from hs_common.matrix.signing import VerifyKey

LARGE: Final = Limits(total_s=60.0, idle_s=30.0, body_bytes=64 << 20)
"""For the state of large rooms: some KiB for each member, and auth events beside."""
STREAMED: Final = Limits(total_s=600.0, idle_s=60.0, body_bytes=512 << 20)
"""For joining the largest rooms; read while it comes, by who bounds what he keeps."""


class OtherServers:
    """As `interfaces.Remote`."""

    def __init__(self, client: FederationClient) -> None:
        self._client = client

    async def get(self, server: str, path: str, query: Query | None = None) -> Any:
        return await self._json(server, "GET", path, query, None)

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self._json(server, "PUT", path, None, body)

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self._json(server, "POST", path, None, body)

    async def put_streaming(
        self, server: str, path: str, body: Mapping[str, Any], receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        try:
            answer = await self._client.open(server, "PUT", path, None, encode(body), STREAMED)
            await _hand_on(server, answer, receive)
        except FederationError as error:
            raise _matrix_error(error) from error

    async def _json(
        self, server: str, method: str, path: str, query: Query | None, body: Mapping[str, Any] | None
    ) -> Any:
        encoded = None if body is None else encode(body)
        try:
            return await self._client.json(server, method, path, query, encoded, LARGE)
        except FederationError as error:
            raise _matrix_error(error) from error


class RingKeys:
    """As `interfaces.ServerKeys`."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def keys_of(self, server: str, key_ids: Collection[str], at_ms: int | None) -> Mapping[str, VerifyKey]:
        return await self._ring.valid_keys(server, key_ids, at_ms)


async def _hand_on(server: str, answer: Answer, receive: Callable[[bytes], Awaitable[None]]) -> None:
    try:
        while piece := await answer.read():
            await receive(piece)
    except EgressError as error:
        raise ServerUnreachable(server, error.kind, str(error)) from error
    finally:
        answer.close()


def _matrix_error(error: FederationError) -> MatrixError:
    if isinstance(error, ServerUnreachable) and error.kind == "timeout":
        return unknown(f"The server {error.destination} did not answer in time", status=504)
    return error.for_client()
