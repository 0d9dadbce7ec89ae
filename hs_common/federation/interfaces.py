"""What the federating parts use of the way to other servers, so that each can be tested without a network."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Query = Mapping[str, str | list[str]]


class Remote(Protocol):
    """Signed requests to other servers. Every method raises MatrixError: the other server's, or 502 `M_UNKNOWN` (and
    504 when there was no answer in time) where it cannot be reached or answers nonsense."""

    async def get(self, server: str, path: str, query: Query | None = None, *, large: bool = False) -> Any:
        """The JSON that the server answers. `path` begins with `/_matrix` and is percent-encoded. `large`: an auth
        chain, or the ids of a state, may be in the answer."""

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """The same for a PUT."""

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """The same for a POST."""

    async def get_streaming(
        self, server: str, path: str, query: Query, receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """A GET whose answer is given to `receive` while it comes."""

    async def put_streaming(
        self, server: str, path: str, body: Mapping[str, Any], receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """A PUT whose answer is given to `receive` while it comes."""
