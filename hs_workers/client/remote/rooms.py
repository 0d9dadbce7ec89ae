"""Rooms that this server is not in, as servers in them tell of them.

Spec: server-server API, #get_matrixfederationv1hierarchyroomid.
"""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_room_id
from hs_workers.client.remote.asking import Asking
from hs_workers.client.remote.checked_rooms import checked_summary
from hs_workers.client.remote.kept_answers import KeptAnswers
from hs_workers.client.room.elsewhere import RemoteRoom

KEPT_S: Final = 300.0
MISSING_S: Final = 60.0
SERVERS_ASKED: Final = 3
"""One after the other, until one tells of the room."""


class RemoteRooms:
    """As `Elsewhere`. `seconds` is a clock that never goes back."""

    def __init__(self, asking: Asking, server_name: str, seconds: Callable[[], float]) -> None:
        self._asking = asking
        self._server_name = server_name
        self._kept: KeptAnswers[RemoteRoom] = KeptAnswers(seconds, KEPT_S)
        self._missing: KeptAnswers[RemoteRoom | None] = KeptAnswers(seconds, MISSING_S)

    async def room(self, room_id: str, via: Sequence[str], suggested_only: bool) -> RemoteRoom | None:
        """None if no server tells of it: that is believed for a shorter time."""
        servers = self._servers(room_id, via)
        key = (room_id, suggested_only)
        return await self._missing.get((*key, *servers), lambda: self._find(key, servers))

    def _servers(self, room_id: str, via: Sequence[str]) -> list[str]:
        named = dict.fromkeys([*via, *filter(None, [domain_of(room_id)])])
        return [server for server in named if server != self._server_name][:SERVERS_ASKED]

    async def _find(self, key: tuple[str, bool], servers: Sequence[str]) -> RemoteRoom | None:
        for server in servers:
            try:
                return await self._kept.get(key, lambda server=server: self._ask(server, *key))  # type: ignore[misc]
            except MatrixError:
                continue
        return None

    async def _ask(self, server: str, room_id: str, suggested_only: bool) -> RemoteRoom:
        path = f"/_matrix/federation/v1/hierarchy/{quote(room_id, safe='')}"
        answer = await self._asking.get(server, path, {"suggested_only": str(suggested_only).lower()})
        summary = checked_summary(answer.get("room"))
        if summary is None or summary["room_id"] != room_id:
            raise MatrixError(502, "M_UNKNOWN", f"The server {server} gave a bad answer")
        children = answer.get("children")
        found = [checked_summary(child) for child in children] if isinstance(children, list) else []
        closed = answer.get("inaccessible_children")
        closed_ids = frozenset(filter(is_room_id, closed)) if isinstance(closed, list) else frozenset()
        return RemoteRoom(summary, {child["room_id"]: child for child in found if child is not None}, closed_ids)
