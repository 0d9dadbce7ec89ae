"""From a name to its addresses, by the system's resolver, in threads.

Rules: the same name is asked for once at a time; answers are kept for some seconds, since the system does not say for
how long they hold. Which of the addresses may be used is not decided here.
"""

import socket
from collections.abc import Callable
from typing import Final

from hs_common.bounded import Bounded
from hs_common.http.egress.failures import Busy, NotResolved
from hs_common.http.egress.names import is_address
from hs_common.matrix.errors import MatrixError
from hs_common.process.worker_threads import Threads
from hs_common.under_way import UnderWay

KEPT_S: Final = 30.0
MISSING_KEPT_S: Final = 5.0
KEPT_NAMES: Final = 2_000
"""Some hundred bytes each."""
NAME_LIMIT: Final = 253
"""Characters of a name; DNS has no longer ones."""

Lookup = Callable[[str], list[str]]
"""Addresses of a name, the better first. May take seconds. Raises OSError."""


def system_lookup(name: str) -> list[str]:
    """As the system resolves names for everybody: hosts file, DNS."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class Resolver:
    """Knows addresses for a while. `seconds` is a clock that never goes back."""

    def __init__(self, threads: Threads, seconds: Callable[[], float], lookup: Lookup = system_lookup) -> None:
        self._threads = threads
        self._seconds = seconds
        self._lookup = lookup
        self._known = Bounded[str, tuple[float, tuple[str, ...]]](KEPT_NAMES)
        self._asking = UnderWay[str]()

    async def addresses(self, host: str) -> tuple[str, ...]:
        """All addresses of a host, or the address that it is. Raises NotResolved, Busy."""
        if is_address(host):
            return (host.strip("[]"),)
        name = host.rstrip(".").lower()
        if not name or len(name) > NAME_LIMIT:
            raise NotResolved(f"{host[:64]!r} is no name")
        while name in self._asking:
            await self._asking.end_of(name)
        known = self._known.get(name)
        if known is None or known[0] < self._seconds():
            with self._asking.begun(name):
                known = self._known[name] = await self._ask(name)
        if not known[1]:
            raise NotResolved(f"{name} has no address")
        return known[1]

    async def _ask(self, name: str) -> tuple[float, tuple[str, ...]]:
        try:
            found = tuple(await self._threads.run(lambda: self._lookup(name)))
        except (OSError, UnicodeError):  # no such name; or one that cannot be written in DNS
            found = ()
        except MatrixError as error:
            raise Busy("too many names are being resolved") from error
        return self._seconds() + (KEPT_S if found else MISSING_KEPT_S), found
