"""What the log has told of one service's events: rows as `service_queue.events` reads them, which need not be read.

Rules: it answers only where it surely holds all there is, else the table is read. Whatever may make a difference
between the two (a redaction, an event that is told without its services) is a gap: what was held is dropped, and what
follows is held. The newest stay when there are too many; a service that is behind reads the table until it comes here.
"""

from collections import deque
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Final

from hs_common.replication.items import EventItem, MembershipItem
from hs_common.storage.queries import Row

ROWS_LIMIT: Final = 1_000
"""Of one service: some transactions. Who is further behind is not sent to from here anyway."""
BYTES_LIMIT: Final = 4 * 1024 * 1024
"""Of their events; two full transactions."""


class Heard:
    """Of one service, in the order of the log. `since`: everything above it is told from now on."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._rows: deque[Row] = deque()
        self._bytes = 0

    def add(self, pos: int, item: EventItem) -> None:
        """An event for the service."""
        self._rows.append(
            (
                pos,
                item.event_id,
                item.room_id,
                item.room_version,
                item.replaces_state,
                item.redacted_by,
                item.json.decode(),
            )
        )
        self._bytes += len(item.json)
        while len(self._rows) > ROWS_LIMIT or self._bytes > BYTES_LIMIT:
            self._since = max(self._since, self._drop())

    def redacted(self, event_ids: Collection[str], pos: int) -> None:
        """Events lost their content at a position."""
        if any(row[1] in event_ids for row in self._rows):
            self.gap(pos)

    def gap(self, pos: int) -> None:
        """Up to here, there may be more than was told."""
        self._rows.clear()
        self._bytes = 0
        self._since = pos

    def after(self, pos: int, limit: int) -> list[Row] | None:
        """The first events above a position, which are wanted no more below it. None: the table has to be read."""
        if pos < self._since:
            return None
        self._since = pos
        while self._rows and self._rows[0][0] <= pos:
            self._drop()
        return list(islice(self._rows, limit))

    def _drop(self) -> int:
        row = self._rows.popleft()
        self._bytes -= len(row[6].encode())
        return int(row[0])


def tell(all_heard: Mapping[str, Heard], item: EventItem | MembershipItem, pos: int) -> Collection[str]:
    """The log tells of an event; answers the services that have news by it."""
    if isinstance(item, EventItem):
        if item.redacted:
            for heard in all_heard.values():
                heard.redacted(item.redacted, pos)
        for service_id in item.services:
            if service_id in all_heard:
                all_heard[service_id].add(pos, item)
        if not item.servers_joined:
            return item.services
    # Memberships of rooms that this server is not in, and the join that brings it into one, do not name services.
    for heard in all_heard.values():
        heard.gap(pos)
    return all_heard.keys()
