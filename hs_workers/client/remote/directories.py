"""The published rooms of other servers.

Spec: client-server API, #get_matrixclientv3publicrooms (`server`); server-server API, #public-room-directory.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_workers.client.remote.asking import Asking, bad_answer
from hs_workers.client.remote.checked_rooms import checked_room
from hs_workers.client.remote.kept_answers import KeptAnswers

KEPT_S: Final = 30.0
MAXIMUM_TOKEN: Final = 2_048
_PATH: Final = "/_matrix/federation/v1/publicRooms"


class RemoteDirectories:
    """`seconds` is a clock that never goes back."""

    def __init__(self, asking: Asking, seconds: Callable[[], float]) -> None:
        self._asking = asking
        self._kept: KeptAnswers[dict[str, Any]] = KeptAnswers(seconds, KEPT_S, limit=200)

    async def find(self, server: str, search: dict[str, Any]) -> dict[str, Any]:
        """A page of a server's directory; `search` is the body of the request, with a `limit`. Without a filter the
        server is asked by GET, which is all that some of them know."""
        key = (server, repr(sorted(search.items())))
        return await self._kept.get(key, lambda: self._ask(server, search))

    async def _ask(self, server: str, search: dict[str, Any]) -> dict[str, Any]:
        if search.get("filter"):
            answer = await self._asking.post(server, _PATH, search)
        else:
            answer = await self._asking.get(server, _PATH, {key: _text(value) for key, value in search.items()})
        chunk = answer.get("chunk")
        if not isinstance(chunk, list):
            raise bad_answer(server)
        rooms = [room for room in map(checked_room, chunk[: search["limit"]]) if room is not None]
        estimate = answer.get("total_room_count_estimate")
        page: dict[str, Any] = {
            "chunk": rooms,
            "total_room_count_estimate": estimate if type(estimate) is int and estimate >= 0 else len(rooms),
        }
        for token in ("next_batch", "prev_batch"):
            value = answer.get(token)
            if isinstance(value, str) and 0 < len(value) <= MAXIMUM_TOKEN:
                page[token] = value
        return page


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
