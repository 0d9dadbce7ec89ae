"""Presence of users of other servers, as far as they share a room with users here.

A server tells who comes into a room at once who is online in it: mostly before the join has ended here. So presence of
users who share no room yet waits a while. What waits is in memory and bounded: what is lost is made good by the next.

Spec: server-server API, #presence.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_short, is_user_id
from hs_common.replication.clock import Clock, pause
from hs_common.replication.link_interface import Link
from hs_common.replication.remote_calls import RemotePresence, SetRemotePresence
from hs_common.storage import federated_rooms
from hs_common.storage.queries import DatabaseError, Queries

MAXIMUM_PRESENCES: Final = 500
"""Of one EDU: servers tell of those who changed, in a transaction of at most 100 EDUs."""
MAXIMUM_STATUS_BYTES: Final = 1_024
LONGEST_AGO_MS: Final = 2**48
PRESENCES: Final = ("online", "unavailable", "offline")
WAITS_S: Final = (1.0, 4.0, 15.0)
"""When presence of a user who shares no room is tried again: most joins have ended then."""
WAITING: Final = 1_000
"""Users whose presence waits so."""

_log = Logger()


class RemotePresences:
    """Gives presence to the master. `server_name` is this server's."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        clock: Clock,
        background: Callable[[str, Coroutine[Any, Any, object]], None],
        server_name: str,
    ) -> None:
        self._db = db
        self._master = master
        self._clock = clock
        self._background = background
        self._server_name = server_name
        self._waiting: dict[str, RemotePresence] = {}  # the newest of each user

    async def take(self, origin: str, contents: Sequence[Mapping[str, Any]]) -> None:
        """What a server says of its users."""
        pushed = [one for content in contents for one in pushes(content)]
        updates = {update.user_id: update for one in pushed if (update := _presence(one, origin)) is not None}
        for user_id in updates:
            self._waiting.pop(user_id, None)
        strangers = await self._give([*updates.values()])
        waiting = strangers[: max(0, WAITING - len(self._waiting))]
        if waiting:
            self._waiting.update((update.user_id, update) for update in waiting)
            self._background("presence that waits for joins", self._wait(waiting))

    async def _give(self, updates: Sequence[RemotePresence]) -> list[RemotePresence]:
        """Those of users who share no room with users here."""
        users = [update.user_id for update in updates]
        known = await federated_rooms.shares_room_with_us(self._db, users, self._server_name)
        if known:
            told = [update for update in updates if update.user_id in known]
            await self._master.call(SetRemotePresence(updates=told))
        return [update for update in updates if update.user_id not in known]

    async def _wait(self, left: list[RemotePresence]) -> None:
        try:
            for seconds in WAITS_S:
                await pause(self._clock, seconds)
                left = await self._give(self._newest(left))
                if not left:
                    return
        except (DatabaseError, MatrixError) as error:
            _log.info("presence that waited is dropped: {error}", error=error)
        finally:
            for update in self._newest(left):
                del self._waiting[update.user_id]

    def _newest(self, updates: Sequence[RemotePresence]) -> list[RemotePresence]:
        """Those of which nothing newer has come."""
        return [update for update in updates if self._waiting.get(update.user_id) is update]


def pushes(content: Mapping[str, Any]) -> list[Any]:
    """What an EDU says of users."""
    pushed = content.get("push")
    return pushed[:MAXIMUM_PRESENCES] if isinstance(pushed, list) else []


def _presence(value: Any, origin: str) -> RemotePresence | None:
    if not isinstance(value, dict):
        return None
    user_id, presence, ago = value.get("user_id"), value.get("presence"), value.get("last_active_ago", 0)
    if not is_user_id(user_id) or domain_of(user_id) != origin or presence not in PRESENCES:
        return None
    status_msg = value.get("status_msg")
    return RemotePresence(
        user_id=user_id,
        presence=presence,
        last_active_ago_ms=min(ago, LONGEST_AGO_MS) if type(ago) is int and ago > 0 else 0,
        currently_active=value.get("currently_active") is True,
        status_msg=status_msg if isinstance(status_msg, str) and is_short(status_msg, MAXIMUM_STATUS_BYTES) else None,
    )
