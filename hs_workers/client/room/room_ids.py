"""Ids of new rooms, for the versions in which they are not hashes.

Spec: appendices, #room-ids.
"""

import base64
from collections.abc import Callable
from typing import Final

ROOM_ID_BYTES: Final = 12
"""Random bytes of a room id: enough that no two are ever equal."""


class RoomIds:
    """Makes them. `random(n)` gives n unpredictable bytes."""

    def __init__(self, server_name: str, random: Callable[[int], bytes]) -> None:
        self._server_name = server_name
        self._random = random

    def new(self) -> str:
        unique = base64.urlsafe_b64encode(self._random(ROOM_ID_BYTES)).decode().rstrip("=")
        return f"!{unique}:{self._server_name}"
