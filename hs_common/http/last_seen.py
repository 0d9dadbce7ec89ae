"""When and from where each device last made a request, for the list of devices.

Rules: a device is written at most every few minutes, many devices in one statement, and never while its request waits.
The list may be that old (the specification allows it); what is not written yet when a process dies is forgotten.
"""

from collections.abc import Callable
from typing import Final

from hs_common.bounded import Bounded
from hs_common.http.request import Requester
from hs_common.storage.devices import Seen, note_seen
from hs_common.storage.queries import Queries

INTERVAL_MS: Final = 5 * 60 * 1000
"""A device's row is not written again before that, unless its address changes."""
REMEMBERED_LIMIT: Final = 20_000
"""Devices whose last write is remembered, about 8 MiB; the others are merely written more often."""
USER_AGENT_LIMIT: Final = 500
"""Characters. Real ones are below 300."""


class LastSeen:
    """`note` is called for each authenticated request, `flush` now and then (once a minute). `now_ms` is the time of
    day."""

    def __init__(self, db: Queries, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._written = Bounded[tuple[str, str], tuple[int, str]](REMEMBERED_LIMIT)
        self._waiting: dict[tuple[str, str], Seen] = {}

    def note(self, requester: Requester, client_ip: str, user_agent: str) -> None:
        """A request was made. A requester without a device, such as a service, leaves no trace."""
        if requester.device_id is None:
            return
        key = (requester.user_id, requester.device_id)
        now_ms = self._now_ms()
        ts, ip = self._written.get(key, (0, ""))
        if ip == client_ip and now_ms - ts < INTERVAL_MS:
            return
        if key not in self._waiting and len(self._waiting) >= REMEMBERED_LIMIT:
            return
        self._waiting[key] = Seen(*key, client_ip, user_agent[:USER_AGENT_LIMIT].replace("\0", ""), now_ms)

    async def flush(self) -> int:
        """Writes what waits; how many devices that were. If the database is away they wait on."""
        if not self._waiting:
            return 0
        seen = list(self._waiting.values())
        await note_seen(self._db, seen)
        for one in seen:
            self._wrote(one)
        return len(seen)

    def _wrote(self, one: Seen) -> None:
        key = (one.user_id, one.device_id)
        if self._waiting.get(key) is one:
            del self._waiting[key]
        self._written[key] = (one.ts, one.ip)
