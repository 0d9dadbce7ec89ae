"""Connections as they are stored: found by who asks and by the version that his token names, kept when they change.

A version never changes, so what this process read or wrote last is remembered for the next request. Who asks with a
token of another user or device finds nothing, as the row is looked up by both.

Spec: MSC4186, "Connections", "Security considerations".
"""

from collections.abc import Callable
from typing import Final

from hs_common.bounded import Bounded
from hs_common.process.background import Background
from hs_common.storage import sliding
from hs_common.storage.queries import Queries
from hs_workers.sync.parameters import Reader
from hs_workers.sync.sliding.connection import NEW, Connection, decode, encode, version_of
from hs_workers.sync.sliding.parse import unknown_pos
from hs_workers.sync.sliding.question import SlidingRequest

MAXIMUM_KEPT: Final = 2_000  # versions in memory; one of 2,000 rooms has some hundred KiB, most are far smaller
SWEEP_INTERVAL_S: Final = 3600.0
_Key = tuple[str, str, str, str]


class Connections:
    """Reads and keeps them."""

    def __init__(
        self, db: Queries, background: Background, seconds: Callable[[], float], maximum: int = MAXIMUM_KEPT
    ) -> None:
        self._db = db
        self._background = background
        self._seconds = seconds
        self._swept_at = seconds()
        self._known = Bounded[_Key, Connection](maximum)

    async def of(self, reader: Reader, request: SlidingRequest) -> Connection:
        """What was sent by the answer that the request's token came with. Raises M_UNKNOWN_POS."""
        device_id = reader.device_id or ""
        if request.pos is None:
            self._forget(reader.user_id, device_id, request.conn_id)
            self._sweep()
            return NEW
        key = (reader.user_id, device_id, request.conn_id, request.pos.version)
        known = self._known.get(key)
        if known is None:
            body = await sliding.connection(self._db, *key)
            known = None if body is None else decode(body)
            if known is None:
                raise unknown_pos()
        self._known[key] = known  # asked for: the last to be forgotten
        return known

    async def keep(
        self, reader: Reader, request: SlidingRequest, before: Connection, now: Connection, took_s: float
    ) -> str:
        """Keeps what was sent by now, if that is not what was before. Its version. `took_s`: since the request came."""
        if request.pos is not None and now == before:
            return request.pos.version
        body = encode(now)
        version = version_of(body)
        key = (reader.user_id, reader.device_id or "", request.conn_id, version)
        if request.pos is None:
            await sliding.begin_connection(self._db, *key, body, took_s)
        else:
            await sliding.keep_connection(self._db, *key, body, request.pos.version)
        self._known[key] = now
        return version

    def _sweep(self) -> None:
        """Now and then drops what nobody will ask for any more."""
        if self._seconds() - self._swept_at > SWEEP_INTERVAL_S:
            self._swept_at = self._seconds()
            self._background("sweep connections of sliding sync", sliding.sweep_connections(self._db))

    def _forget(self, *connection: str) -> None:
        """Also here: a token of the connection that was is unknown from now on."""
        for key in [key for key in self._known if key[:3] == connection]:
            del self._known[key]
