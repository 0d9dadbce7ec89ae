"""A user whose client syncs is there: told to the master when that is news, and again before it would be forgotten.

Spec: client-server API, #presence; `set_presence` of #get_matrixclientv3sync.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, cast

from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix.errors import MatrixError
from hs_common.process.background import Background
from hs_common.replication.calls import SetPresence
from hs_common.replication.link_interface import Link

# Without a sync for a minute a user counts as offline; so one that was told is told again after half of it.
TOLD_AGAIN_SECONDS: Final = 25.0
MAXIMUM_DEVICES: Final = 20_000

_Device = tuple[str, str | None]  # user and device; None: of an application service without one

_log = Logger()


class PresenceBySync:
    """Tells the master."""

    def __init__(self, master: Link, background: Background, seconds: Callable[[], float]) -> None:
        self._master = master
        self._background = background
        self._seconds = seconds
        self._told = Bounded[_Device, tuple[str, float]](MAXIMUM_DEVICES)

    def is_news(self, user_id: str, device_id: str | None, presence: str) -> bool:
        """Whether `syncs` would tell it."""
        if presence == "offline":
            return False
        told, at = self._told.get((user_id, device_id), ("", 0.0))
        return told != presence or self._seconds() - at >= TOLD_AGAIN_SECONDS

    def syncs(self, user_id: str, device_id: str | None, presence: str) -> None:
        """A device of the user syncs with this `set_presence`; `offline` means that it does not count."""
        if not self.is_news(user_id, device_id, presence):
            return
        self._told[user_id, device_id] = (presence, self._seconds())
        self._background("presence by sync", self._tell(user_id, device_id, presence))

    async def _tell(self, user_id: str, device_id: str | None, presence: Any) -> None:
        value = cast(Literal["online", "unavailable"], presence)
        try:
            call = SetPresence(user_id=user_id, presence=value, by_sync=True, device_id=device_id or "")
            await self._master.call(call)
        except MatrixError as error:  # the next sync tells it again
            self._told.pop((user_id, device_id), None)
            _log.info("presence was not told: {error}", error=error)
