"""The way to other servers as an operation sees it: JSON in and out, failures as Matrix errors to pass on."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hs_common.federation.client import QUICK, USUAL, FederationClient
from hs_common.federation.failures import FederationError, ServerUnreachable
from hs_common.federation.interfaces import Query
from hs_common.http.egress.answer import Answer
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.canonical_json import encode, encode_lenient
from hs_common.matrix.errors import MatrixError

LARGE: Final = Limits(total_s=120.0, idle_s=60.0, body_bytes=32 << 20)
"""For auth chains, and the ids of a state: some ten thousand events, some hundred thousand ids."""
QUICK_LARGE: Final = Limits(total_s=45.0, idle_s=30.0, body_bytes=32 << 20)
"""The same where a client waits: the state of a big room takes its server long, and history is not shown without it."""
STATE: Final = Limits(total_s=240.0, idle_s=60.0, body_bytes=256 << 20)
"""For the state of a room with its auth chain, read while it comes: 50,000 members have some 100 MiB."""
STREAMED: Final = Limits(total_s=900.0, idle_s=120.0, body_bytes=512 << 20)
"""For a join, read while it comes. The other server may take long to put it together."""

Receive = Callable[[bytes], Awaitable[None]]


class RemoteServers:
    """As `Remote`. With `quick`, answers that a client waits for are given up sooner."""

    def __init__(self, client: FederationClient, *, quick: bool = False) -> None:
        self._client = client
        self._limits, self._large = (QUICK, QUICK_LARGE) if quick else (USUAL, LARGE)

    async def get(self, server: str, path: str, query: Query | None = None, *, large: bool = False) -> Any:
        try:
            return await self._client.get(server, path, query, self._large if large else self._limits)
        except FederationError as error:
            raise error.for_client() from error

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self._ask(server, "PUT", path, body)

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self._ask(server, "POST", path, body)

    async def get_streaming(self, server: str, path: str, query: Query, receive: Receive) -> None:
        await self._stream(server, self._client.open(server, "GET", path, query, limits=STATE), receive)

    async def put_streaming(self, server: str, path: str, body: Mapping[str, Any], receive: Receive) -> None:
        await self._stream(server, self._client.open(server, "PUT", path, None, _encoded(body), STREAMED), receive)

    async def _stream(self, server: str, opening: Awaitable[Answer], receive: Receive) -> None:
        try:
            answer = await opening
            try:
                while piece := await answer.read():
                    await receive(piece)
            except EgressError as error:
                raise ServerUnreachable(server, error.kind, str(error)) from error
            finally:
                answer.close()
        except FederationError as error:
            raise error.for_client() from error

    async def _ask(self, server: str, method: str, path: str, body: Mapping[str, Any]) -> Any:
        try:
            return await self._client.json(server, method, path, None, _encoded(body), self._limits)
        except FederationError as error:
            raise error.for_client() from error


class NoRemote:
    """The way to nobody, for a process that does not talk with others."""

    async def get(self, server: str, path: str, query: Query | None = None, *, large: bool = False) -> Any:
        raise _nobody(server)

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        raise _nobody(server)

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        raise _nobody(server)

    async def get_streaming(self, server: str, path: str, query: Query, receive: Receive) -> None:
        raise _nobody(server)

    async def put_streaming(self, server: str, path: str, body: Mapping[str, Any], receive: Receive) -> None:
        raise _nobody(server)


NO_REMOTE: Final = NoRemote()


def _nobody(server: str) -> MatrixError:
    return MatrixError(502, "M_UNKNOWN", f"The server {server} cannot be reached")


def _encoded(body: Mapping[str, Any]) -> bytes:
    """Events of the first room versions may have numbers that canonical JSON has not."""
    try:
        return encode(body)
    except TypeError:
        return encode_lenient(body)
