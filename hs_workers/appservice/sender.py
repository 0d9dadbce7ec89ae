"""Sends to one application service: one transaction in flight, in the order of the log, until it is received.

Rules: a transaction (its id, its last event, its ephemeral events) is in the database before it is sent, and is sent
again as it was after whatever failure, by this worker or its successor. What was received and what is under way next
are one write. Every write names the share's term: one that changes nothing means that another worker goes on. The
cursor never skips: events are read from it, unless the log has surely told all of them (`Heard`).

Spec: application-service-api/#pushing-events.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

from twisted.logger import Logger

from hs_common.appservices.http_answer import HttpAnswer
from hs_common.appservices.http_client import Destination, ServiceClient, Unreachable
from hs_common.process.alarm import Alarm
from hs_common.process.share_work import ShareLost, ShareWork
from hs_common.replication.clock import Clock
from hs_common.storage import service_queue
from hs_common.storage.queries import Queries, Row
from hs_common.storage.service_queue import Received, Under
from hs_workers.appservice.client_events import encode_events
from hs_workers.appservice.devices import DeviceNews, fields
from hs_workers.appservice.heard import Heard

EVENTS_LIMIT: Final = 100
"""Of a transaction: services parse each as one JSON document, and answer when all is done."""
BYTES_LIMIT: Final = 2 * 1024 * 1024
"""Of a transaction's events; many frameworks refuse bodies above some megabytes."""
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
"""Bridges give up on a server that backs off for minutes."""
RETRY_JITTER: Final = 0.2
IDLE_LOOK_S: Final = 60.0
"""How long a service is left alone when nothing was heard for it: news wake its sender, this is for missed ones."""
FENCE_LOOK_S: Final = 0.5
EPHEMERAL_NAMES: Final = (b'"ephemeral":', b'"de.sorunome.msc2409.ephemeral":')

_log = Logger()


class Ephemeral(Protocol):
    """What has come up for a service and is not kept."""

    def take(self, service_id: str) -> str | None:
        """All of it as a JSON array, None if there is none; it is not given a second time."""


class Devices(Protocol):
    """What concerns devices of a service's users. See `DeviceLane`."""

    async def next(self, service_id: str, after: int, events: Sequence[Row]) -> DeviceNews:
        """What there is above a position."""

    async def messages(self, service_id: str, after: int, upto: int) -> list[bytes]:
        """The messages of a transaction that is under way."""

    def look(self, service_id: str) -> None:
        """Something may have been missed."""


@dataclass(frozen=True, slots=True)
class World:
    """What senders use. `may_start`: whether the share still surely is this worker's; `now_ms`: the time of day."""

    db: Queries
    http: ServiceClient
    clock: Clock
    random: Random
    now_ms: Callable[[], int]
    may_start: Callable[[], bool]
    ephemeral: Ephemeral
    devices: Devices


class _Content(NamedTuple):
    """What a transaction under way holds that is read from tables."""

    events: list[bytes]
    messages: list[bytes]


class ServiceSender:
    """The sending to one service, as long as this worker holds its share. `work.start`, then `news` and `retry_now`."""

    def __init__(
        self, world: World, to: Destination, term: int, made_pos: int, heard: Heard, *, paused: bool = False
    ) -> None:
        self.to = to
        self.term = term
        self._heard = heard
        self.paused = paused
        self._world = world
        self._made_pos = made_pos
        self._news = Alarm(world.clock)
        self._retry = Alarm(world.clock)
        self._sent_to = 0
        self._devices_sent_to = 0
        self._devices_looked_to = 0  # there is nothing to tell of devices up to here
        self._under: Under | None = None
        self._content: _Content | None = None  # of what is under way; None: to be read
        self._failures = 0
        self._must_look = False  # into the table, whatever was heard
        self.work = ShareWork(world.clock, f"sending to {to.service_id}", self._claim, self._step)
        self._insist = self.work.insist

    @property
    def is_sending(self) -> bool:
        """Whether a transaction is under way that has not failed."""
        return self._under is not None and self._failures == 0

    # --- what others say ---

    def news(self) -> None:
        """Something may wait."""
        self._news.ring()

    def retry_now(self) -> None:
        """The service can be reached again, they say."""
        self._failures = 0
        self._retry.ring()
        self._news.ring()

    # --- the work ---

    async def _step(self) -> bool:
        if self.paused or not self._world.may_start():
            await self._news.wait(IDLE_LOOK_S if self.paused else FENCE_LOOK_S)
        elif self._under is not None:
            if await self._deliver(self._under):
                await self._advance(self._under.to, self._under.devices_to)
        elif not await self._advance(self._sent_to, self._devices_sent_to) and not await self._news.wait(IDLE_LOOK_S):
            self._must_look = True
            self._world.devices.look(self.to.service_id)
        return True

    async def _claim(self) -> None:
        cursor = await self._insist(
            lambda: service_queue.claim(self._world.db, self.to.service_id, self.term, self._made_pos)
        )
        if cursor is None:
            raise ShareLost
        self._sent_to, self._failures = cursor.sent_to, cursor.failures
        self._devices_sent_to = self._devices_looked_to = cursor.devices_sent_to
        self._under = cursor.under
        self._world.devices.look(self.to.service_id)

    async def _advance(self, sent_to: int, devices_sent_to: int) -> bool:
        """Everything up to there was received: put the next transaction under way; false if there is none."""
        self._devices_looked_to = max(self._devices_looked_to, devices_sent_to)
        under, content = await self._next(sent_to) if not self.work.is_stopping else (None, None)
        if under is None and sent_to == self._sent_to and self._under is None:
            return False
        events, devices = Received(self._sent_to, sent_to), Received(self._devices_sent_to, devices_sent_to)
        db = self._world.db
        moved = await self._insist(
            lambda: service_queue.advance(db, self.to.service_id, self.term, events, devices, under)
        )
        if not moved:
            raise ShareLost
        self._sent_to, self._devices_sent_to, self._under, self._content = events.to, devices.to, under, content
        return True

    async def _next(self, after: int) -> tuple[Under | None, _Content | None]:
        rows = None if self._must_look else self._heard.after(after, EVENTS_LIMIT)
        if rows is None:
            rows = await self._read(after, None)
            self._must_look = False
        ephemeral = self._world.ephemeral.take(self.to.service_id)
        encoded = await self._encode(rows) if rows else []
        told = rows[: len(encoded)]
        news = await self._insist(lambda: self._world.devices.next(self.to.service_id, self._devices_looked_to, told))
        self._devices_looked_to = news.upto
        if not told and ephemeral is None and not news:
            return None, None
        to = told[-1][0] if told else after
        txn_id = f"{after}-{to}" if told else f"{after}-{self._world.random.getrandbits(64):016x}"
        return Under(txn_id, to, ephemeral, news.upto, news.lists), _Content(encoded, news.messages)

    async def _read(self, after: int, upto: int | None) -> list[Row]:
        db, service_id = self._world.db, self.to.service_id
        return await self._insist(lambda: service_queue.events(db, service_id, after, upto, EVENTS_LIMIT))

    async def _encode(self, rows: list[Row]) -> list[bytes]:
        """As many of the first events as fit into a transaction, one at least."""
        size, count = 0, 0
        for row in rows:
            size += len(row[6])
            if count and size > BYTES_LIMIT:
                break
            count += 1
        return await self._insist(lambda: encode_events(self._world.db, rows[:count], self._world.now_ms()))

    async def _deliver(self, under: Under) -> bool:
        """Whether the transaction was received; if not, some time has passed."""
        content = self._content
        if content is None:
            content = self._content = await self._reread(under)
        path = f"/transactions/{quote(under.txn_id, safe='')}"
        try:
            with self.work.asking():
                answer = await self._world.http.ask(self.to, "PUT", path, _body(content, under))
        except Unreachable as error:
            reason = str(error)
        else:
            if answer.is_success:
                self._failures = 0
                return True
            reason = _told(answer)
        await self._wait_after_failure(reason)
        return False

    async def _reread(self, under: Under) -> _Content:
        """What a transaction that an earlier process put under way holds: the same, by positions."""
        rows = await self._read(self._sent_to, under.to)
        world, now_ms, service_id = self._world, self._world.now_ms(), self.to.service_id
        events = await self._insist(lambda: encode_events(world.db, rows, now_ms)) if rows else []
        after, upto = self._devices_sent_to, under.devices_to
        return _Content(events, await self._insist(lambda: world.devices.messages(service_id, after, upto)))

    async def _wait_after_failure(self, reason: str) -> None:
        self._failures += 1
        service_id, failures, db = self.to.service_id, self._failures, self._world.db
        _log.warn("{service} receives nothing ({count}): {why}", service=service_id, count=failures, why=reason)
        if not await self._insist(lambda: service_queue.failed(db, service_id, self.term, failures, reason)):
            raise ShareLost
        if not self.work.is_stopping:
            await self._retry.wait(retry_s(failures, self._world.random))


def retry_s(failures: int, random: Random) -> float:
    """How long to wait after so many failures in a row."""
    seconds = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 10))
    return seconds * (1 - RETRY_JITTER * random.random())


def _body(content: _Content, under: Under) -> bytes:
    body = b'{"events":[' + b",".join(content.events) + b"]"
    if under.ephemeral is not None:
        encoded = under.ephemeral.encode()
        body += b"".join(b"," + name + encoded for name in EPHEMERAL_NAMES)
    return body + fields(under.devices, content.messages) + b"}"


def _told(answer: HttpAnswer) -> str:
    return f"status {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}".replace("\0", "")
