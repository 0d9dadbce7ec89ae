"""What the federating parts use of the way to other servers, so that each can be tested without a network."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

from hs_common.matrix.signing import VerifyKey

T = TypeVar("T")

Query = Mapping[str, str | list[str]]


class ServerKeys(Protocol):
    """The keys of other servers, from a cache, from them, or from notaries."""

    async def keys_of(self, server: str, key_ids: Collection[str], at_ms: int | None) -> Mapping[str, VerifyKey]:
        """Those of the keys that can be had and were valid at that time (None: at any). Raises nothing."""


class Remote(Protocol):
    """Signed requests to other servers. Every method raises MatrixError: the other server's, or 502 `M_UNKNOWN` (and
    504 when there was no answer in time) where it cannot be reached or answers nonsense."""

    async def get(self, server: str, path: str, query: Query | None = None) -> Any:
        """The JSON that the server answers. `path` begins with `/_matrix` and is percent-encoded."""

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """The same for a PUT."""

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """The same for a POST."""

    async def put_streaming(
        self, server: str, path: str, body: Mapping[str, Any], receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """A PUT whose answer is given to `receive` while it comes."""


class Run(Protocol):
    """Runs work in a thread."""

    def run(self, work: Callable[[], T]) -> Awaitable[T]:
        """The result of `work()`."""
