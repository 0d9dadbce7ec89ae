"""The registered application services as a process knows them: read from their table, and again when the log says so.

Rules: who needs the truth asks `services`, which reads again after a change, and always while the log has not been
heard of lately; who must not wait asks `known`, the last that was read.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hs_common.appservices.http_client import Destination
from hs_common.http.request import Requester
from hs_common.matrix.appservice import Service, Services
from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from hs_common.storage import appservices
from hs_common.storage.appservices import Registered
from hs_common.storage.queries import DatabaseError, Queries

_log = Logger()


class ServiceRegistry:
    """`is_fresh` says whether the log has been heard of lately, so that no change was missed."""

    def __init__(self, db: Queries, server_name: str, is_fresh: Callable[[], bool]) -> None:
        self._db = db
        self._server_name = server_name
        self._is_fresh = is_fresh
        self._is_read = False
        self._changes = 0
        self._reading: list[Deferred[None]] | None = None
        self.known = Services()
        self.rows: dict[str, Registered] = {}
        self._by_token: dict[bytes, Service] = {}
        self.on_item: Callable[[items.AppServiceItem], None] = lambda item: None
        """Told of each change that the log tells of."""
        self._on_change: list[Callable[[], None]] = []

    # --- what is asked ---

    async def services(self) -> Services:
        """All of them, as of now: a reading that began before this call does not count."""
        while not (self._is_read and self._is_fresh()):
            if await self._read():
                break
        return self.known

    async def of_token(self, token_hash: bytes) -> Service | None:
        """The service with this token."""
        await self.services()
        return self._by_token.get(token_hash)

    def destination(self, service_id: str) -> Destination | None:
        """Where the service is; None if nothing is sent to it. As last read."""
        row = self.rows.get(service_id)
        if row is None or row.registration.url is None:
            return None
        return Destination(service_id, row.registration.url, row.hs_token)

    def is_exempt(self, requester: Requester) -> bool:
        """Whether nobody counts the requests of a service, or of a user of its."""
        service = self.known.get(requester.app_service_id)
        if service is None:
            return False
        return not service.registration.rate_limited or requester.user_id == service.sender

    def is_reserved(self, user_id: str) -> bool:
        """Whether some service alone may make this user. As last read."""
        return bool(self.known.owners_of_user(user_id))

    # --- what the log tells ---

    def when_changed(self, call: Callable[[], None]) -> None:
        """Call when any of them may have changed."""
        self._on_change.append(call)

    async def refresh(self) -> None:
        """Read them again; a failure is made up for when they are asked for."""
        try:
            await self.services()
        except DatabaseError as error:
            _log.warn("cannot read the application services now: {error}", error=error)

    def subscription(self) -> Subscription:
        """For the process' follower."""

        def apply(batch: Sequence[EntryItem], entry: Entry) -> None:
            for one in batch:
                item = items.decode(one.kind, one.body)
                assert isinstance(item, items.AppServiceItem), "subscribed to no other kind"
                if not item.woken:
                    self._changed()
                self.on_item(item)

        return Subscription("application services", ("appservice",), apply, lambda pos: self._changed())

    def _changed(self) -> None:
        self._is_read, self._changes = False, self._changes + 1
        for call in self._on_change:
            call()

    async def _read(self) -> bool:
        """Whether this call has read; else it waited for the end of another's reading."""
        if self._reading is not None:
            turn: Deferred[None] = Deferred()
            self._reading.append(turn)
            await turn
            return False
        self._reading = []
        try:
            await self._read_all()
        finally:
            waiting, self._reading = self._reading, None
            for one in waiting:
                one.callback(None)
        return True

    async def _read_all(self) -> None:
        changes = self._changes
        rows = await appservices.registered(self._db)
        self.rows = {row.registration.id: row for row in rows}
        self.known = appservices.services_of(rows, self._server_name)
        by_token: dict[bytes, Service] = {}
        for service in self.known:
            by_token[self.rows[service.id].as_token_hash] = service
        self._by_token = by_token
        self._is_read = changes == self._changes  # else what was read may be older than what the log told
