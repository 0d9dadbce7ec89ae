"""Clients that wait for news: each costs memory, and is woken by what concerns its user.

Rules: wake-ups are gathered while a batch of the log is applied and given at its end, so that the answer is at one
position. A client whose token is revoked is told at once. At the end of the process everybody is let go.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.replication.clock import Clock
from hs_workers.sync.audience import TrackedUser
from hs_workers.sync.parameters import Reader

MAXIMUM_WAITING: Final = 50_000  # of one worker; each holds a connection, of which a process has fewer


class Wake(Enum):
    """Why a wait ended."""

    NEWS = "something concerns the user"
    TIME = "the time is up"
    END = "the process ends"


class WaitingClient:
    """One long poll."""

    __slots__ = ("reader", "wake")

    def __init__(self, reader: Reader, wake: "Deferred[Wake]") -> None:
        self.reader = reader
        self.wake = wake


class WaitingClients:
    """All long polls of the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_user: dict[str, set[WaitingClient]] = {}
        self._woken: dict[str, None] = {}
        self._count = 0
        self._ended = False

    def __len__(self) -> int:
        return self._count

    async def wait(self, reader: Reader, user: TrackedUser, seen: int, seconds: float) -> Wake:
        """Waits until the user's `news` is not what was `seen`. Raises what `revoke` says, 503 if too many wait."""
        if self._ended:
            return Wake.END
        if user.news != seen:
            return Wake.NEWS
        if self._count >= MAXIMUM_WAITING:
            raise unknown("Too many clients wait at this server", 503)
        client = WaitingClient(reader, Deferred())
        self._add(client, user)
        timer = self._clock.callLater(seconds, _fire, client.wake, Wake.TIME)
        try:
            return await client.wake
        finally:
            if timer.active():
                timer.cancel()
            self._remove(client, user)

    def news(self, user_id: str) -> None:
        """Something concerns the user: his clients are woken by the next `wake_all`."""
        if user_id in self._by_user:
            self._woken[user_id] = None

    def wake_all(self) -> None:
        """Wakes those for whom there is news."""
        if not self._woken:
            return
        woken, self._woken = self._woken, {}
        for user_id in woken:
            for client in list(self._by_user.get(user_id, ())):
                _fire(client.wake, Wake.NEWS)

    def revoke(self, user_id: str, is_revoked: Callable[[bytes], bool], error: MatrixError) -> None:
        """The user's clients with such token digests are refused."""
        for client in list(self._by_user.get(user_id, ())):
            if is_revoked(client.reader.token_hash) and not client.wake.called:
                client.wake.errback(error)

    def end(self) -> None:
        """Lets everybody go, those who come later too."""
        self._ended = True
        for clients in list(self._by_user.values()):
            for client in list(clients):
                _fire(client.wake, Wake.END)

    def _add(self, client: WaitingClient, user: TrackedUser) -> None:
        self._by_user.setdefault(user.user_id, set()).add(client)
        user.waiting += 1
        self._count += 1

    def _remove(self, client: WaitingClient, user: TrackedUser) -> None:
        user.waiting -= 1
        self._count -= 1
        clients = self._by_user[user.user_id]
        clients.discard(client)
        if not clients:
            del self._by_user[user.user_id]


def _fire(wake: "Deferred[Wake]", why: Wake) -> None:
    if not wake.called:
        wake.callback(why)
