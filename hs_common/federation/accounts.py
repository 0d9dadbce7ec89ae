"""What other servers have cost this process for nothing: events that were refused, rejected or led nowhere.

Each server has an account. What is in vain is charged to it at about its price in milliseconds of CPU, and time pays
off the debt; whoever owes too much is asked to come back later, before anything he sends is read. Good events pay off
some of it too, so a large server is never kept out for the few bad ones among its many users. Nothing is lost by it:
an honest server sends again what it was asked to send later.

Rules: only failures are charged, and only to who has proved to be who he says. The memory is a process' own.
"""

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.matrix.errors import limit_exceeded

ALLOWED_MS: Final = 1_000.0
"""Debt up to which nobody is asked to wait."""
PAID_OFF_MS_PER_S: Final = 20.0
"""A fiftieth of a core is what one server may waste for good."""
LONGEST_WAIT_S: Final = 60.0
"""More debt than is paid off in this time is forgiven."""
KEPT: Final = 20_000
"""Servers; some hundred bytes each. The one that was charged longest ago is forgotten first."""

# Prices in ms, from what the attacks of tests/federation/hostile cost us.
REFUSED_PDU: Final = 0.3
"""One that is answered with an error: ill-formed, not signed, denied by an access control list."""
IGNORED_EDU: Final = 0.02
"""Each user of others for whom a server speaks in one."""
REPEATED: Final = 0.5
"""An event that is here already, or a transaction that has been answered."""
REJECTED: Final = 4.0
SOFT_FAILED: Final = 6.0
UNDECIDED: Final = 8.0
"""An event for which something was looked for in vain."""
ACCEPTED_PAYS: Final = 1.0

_log = Logger()


class Accounts:
    """The accounts of all servers. `seconds` is a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._owed = Bounded[str, tuple[float, float]](KEPT)
        """By server: what it owed, and when."""

    def __len__(self) -> int:
        return len(self._owed)

    def admit(self, server: str) -> None:
        """429 `M_LIMIT_EXCEEDED` for who owes too much."""
        if server in self._owed:
            too_much = self._debt(server) - ALLOWED_MS
            if too_much > 0:
                raise limit_exceeded(max(1, round(too_much / PAID_OFF_MS_PER_S * 1_000)))

    def charge(self, server: str, milliseconds: float) -> None:
        """Something of this server's was in vain."""
        before = self._debt(server)
        after = min(before + milliseconds, ALLOWED_MS + LONGEST_WAIT_S * PAID_OFF_MS_PER_S)
        if before <= ALLOWED_MS < after:
            _log.info("{server} has to wait: too much of what it sent lately was in vain", server=server)
        self._note(server, after)

    def pay(self, server: str, milliseconds: float) -> None:
        """Something of this server's was of use."""
        if server in self._owed:
            self._note(server, self._debt(server) - milliseconds)

    def _debt(self, server: str) -> float:
        owed, since = self._owed.get(server, (0.0, 0.0))
        return max(0.0, owed - (self._seconds() - since) * PAID_OFF_MS_PER_S)

    def _note(self, server: str, owed: float) -> None:
        if owed > 0:
            self._owed[server] = (owed, self._seconds())
        else:
            self._owed.pop(server, None)
