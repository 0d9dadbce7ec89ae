"""Clients that wait for news: each costs memory, and is woken by what concerns its user.

Rules: wake-ups are gathered while a batch of the log is applied and given at its end, so that the answer is at one
position. A client whose token is revoked is told at once. At the end of the process everybody is let go.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError, unknown
from hs_common.replication.clock import Clock
from hs_workers.sync.audience import TrackedUser
from hs_workers.sync.deadlines import Deadlines
from hs_workers.sync.parameters import Reader

MAXIMUM_WAITING: Final = 50_000  # of one worker; each holds a connection, of which a process has fewer


class Wake(Enum):
    """Why a wait ended."""

    NEWS = "something concerns the user"
    TIME = "the time is up"
    END = "the process ends"


class Waiter(Protocol):
    """One long poll. Whoever wakes or refuses it knows nothing of how it goes on."""

    @property
    def reader(self) -> Reader:
        """Whose it is."""

    def wake(self, why: Wake) -> None:
        """The wait ends."""

    def refuse(self, error: MatrixError) -> None:
        """The wait ends with an error."""


class _Waiting:
    """The wait of a coroutine."""

    __slots__ = ("deferred", "reader")

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.deferred: Deferred[Wake] = Deferred()

    def wake(self, why: Wake) -> None:
        if not self.deferred.called:
            self.deferred.callback(why)

    def refuse(self, error: MatrixError) -> None:
        if not self.deferred.called:
            self.deferred.errback(error)


class WaitingClients:
    """All long polls of the process."""

    def __init__(self, clock: Clock, first_waits: Callable[[], None] = lambda: None) -> None:
        """`first_waits` is called when somebody waits where nobody did."""
        self._first_waits = first_waits
        self.ended = False
        self._by_user: dict[str, set[Waiter]] = {}
        self._woken: dict[str, None] = {}
        self._deadlines: Deadlines[Waiter] = Deadlines(clock, self._time_is_up)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether nobody more can be taken."""
        return self._count >= MAXIMUM_WAITING

    async def wait(self, reader: Reader, user: TrackedUser, seen: int, seconds: float) -> Wake:
        """Waits until the user's `news` is not what was `seen`. Raises what `revoke` says, 503 if too many wait."""
        if self.ended:
            return Wake.END
        if user.news != seen:
            return Wake.NEWS
        if self.is_full:
            raise unknown("Too many clients wait at this server", 503)
        waiting = _Waiting(reader)
        self.add(waiting, user, seconds)
        try:
            return await waiting.deferred
        finally:
            self.remove(waiting, user)

    def add(self, waiter: Waiter, user: TrackedUser, seconds: float) -> None:
        """Wakes it when there is news or the time is up, unless it is removed before. Not after the end."""
        self._by_user.setdefault(user.user_id, set()).add(waiter)
        self._deadlines.add(waiter, seconds)
        user.waiting += 1
        self._count += 1
        if self._count == 1:
            self._first_waits()

    def remove(self, waiter: Waiter, user: TrackedUser) -> None:
        """It waits no more: to be called once for each `add`, after the wake as well."""
        user.waiting -= 1
        self._count -= 1
        self._deadlines.remove(waiter)
        waiters = self._by_user[user.user_id]
        waiters.discard(waiter)
        if not waiters:
            del self._by_user[user.user_id]

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
                client.wake(Wake.NEWS)

    def revoke(self, user_id: str, is_revoked: Callable[[bytes], bool], error: MatrixError) -> None:
        """The user's clients with such token digests are refused."""
        for client in list(self._by_user.get(user_id, ())):
            if is_revoked(client.reader.token_hash):
                client.refuse(error)

    def end(self) -> None:
        """Lets everybody go, those who come later too."""
        self.ended = True
        for clients in list(self._by_user.values()):
            for client in list(clients):
                client.wake(Wake.END)

    def _time_is_up(self, waiter: Waiter) -> None:
        waiter.wake(Wake.TIME)
