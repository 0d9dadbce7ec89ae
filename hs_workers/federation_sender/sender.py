"""Sends to one other server: one transaction in flight, in the order of the log, until it is received.

Rules: a transaction (its id, its PDUs by their ids, its EDUs) is in the database before it is sent, and is sent again
as it was after whatever failure, by this worker or its successor. What was received and what is under way next are one
write. Every write names the share's term. The cursors never skip; typing and presence have none. Receipts are told as
they are heard; those that were not, whyever, are read from the tables. Messages to devices go in the
same transaction as events and never wait for them. A server that was away for long gets of each room the newest event
alone, and asks for the rest. Spec: server-server-api.md#transactions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import orjson
from twisted.internet.defer import DeferredSemaphore
from twisted.logger import Logger

from hs_common.federation.client import FederationClient
from hs_common.federation.failures import FederationError, NotFederating
from hs_common.process.alarm import Alarm
from hs_common.process.share_work import ShareLost, ShareWork
from hs_common.replication.clock import Clock
from hs_common.storage import destinations
from hs_common.storage.destinations import Under
from hs_common.storage.queries import Queries
from hs_workers.federation_sender import transaction
from hs_workers.federation_sender.devices import DeviceLane
from hs_workers.federation_sender.ephemeral import MISSED_LIMIT, Edu, EphemeralLane, missed_receipts

FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 3600.0
"""A server that is back asks something of us, which wakes its sender at once; this is for those that do not."""
RETRY_GROWTH: Final = 3.0
RETRY_JITTER: Final = 0.3
FORBIDDEN_RETRY_S: Final = 3600.0
"""The config forbids to talk with it: a look now and then is enough."""
LONG_AWAY_FAILURES: Final = 5
"""In a row: some minutes. After that the backlog is told by its newest events."""
RETIRED_FAILURES: Final = 80
"""In a row, which takes three days. A server that shares no room with this one any more is given up then: it has been
told in vain that its users left, or were thrown out."""
IDLE_S: Final = 60.0
"""How long a sender that has nothing to do is kept."""
FENCE_LOOK_S: Final = 0.5

_log = Logger()


@dataclass(frozen=True, slots=True)
class World:
    """What senders use. `may_start`: whether the share still surely is this worker's; `head`: a position up to which
    everything is committed; `sorted_to`: one up to which all receipts are in `ephemeral`; `now_ms`: the time of day;
    `told`: is called with PDUs and EDUs received, and failures."""

    db: Queries
    client: FederationClient
    clock: Clock
    random: Random
    now_ms: Callable[[], int]
    may_start: Callable[[], bool]
    head: Callable[[], int]
    sorted_to: Callable[[], int]
    devices: DeviceLane
    ephemeral: EphemeralLane
    told: Callable[[int, int, bool], None]
    slots: DeferredSemaphore
    """Requests under way at a time, to all servers together."""


class DestinationSender:
    """The sending to one server, as long as this worker holds its share. `work.start`, then `news` and `retry_now`."""

    def __init__(
        self, world: World, destination: str, term: int, clean_to: int, ended: Callable[["DestinationSender"], None]
    ) -> None:
        """`clean_to`: up to there it has received all, if no row says otherwise. `ended` is called when nothing is left
        to do."""
        self.destination = destination
        self.term = term
        self.is_claimed = False
        self.failures = 0
        self._world = world
        self._clean_to = clean_to
        self._news = Alarm(world.clock)
        self._retry = Alarm(world.clock)
        self._events_to = 0
        self._devices_to = 0
        self._under: Under | None = None
        self._is_behind = True  # surely by its row, once that is claimed
        self._is_resting = False  # it has looked, and nothing waits
        self.notes = 0
        """How often it came to be noted what waits, or that nothing does."""
        self._pdus: list[str] | None = None  # of what is under way; None: to be read
        self._has_news = True  # something may wait in the tables
        self._receipts_to = 0  # what users have read up to here is received
        self._receipts_after: int | None = None  # what was read since may stand in the tables alone
        self._was_long_away = False
        self._catch_up_to = 0
        self.work = ShareWork(world.clock, f"sending to {destination}", self._claim, self._step, lambda: ended(self))
        self._insist = self.work.insist

    @property
    def is_noted(self) -> bool:
        """Whether its row says that something waits, if anything does: so a successor will look."""
        return self.is_claimed and (self._is_behind or self._is_resting)

    # --- what others say ---

    def news(self) -> None:
        """Something waits in the tables."""
        self._has_news, self._is_resting = True, False
        self._news.ring()

    def missed(self) -> None:
        """Something was not heard: look at everything that is in the tables."""
        self._receipts_after = self._receipts_to
        self.news()

    def ephemeral(self) -> None:
        """Something that is not kept has come up."""
        self._is_resting = False
        self._news.ring()

    def retry_now(self) -> None:
        """The server can be reached again, they say."""
        self._retry.ring()

    # --- the work ---

    async def _claim(self) -> None:
        world = self._world
        claimed = await self._insist(lambda: destinations.claim(world.db, self.destination, self.term, self._clean_to))
        if claimed is None:
            raise ShareLost
        self._events_to, self._devices_to, self._under = claimed.events_to, claimed.devices_to, claimed.under
        self._receipts_to = self._receipts_after = claimed.receipts_to
        self.failures = claimed.failures
        self._was_long_away = claimed.failures >= LONG_AWAY_FAILURES
        self.is_claimed = True
        self.notes += 1
        left_s = (claimed.retry_at_ms - world.now_ms()) / 1000
        if claimed.failures and left_s > 0:
            await self._retry.wait(min(left_s, LONGEST_RETRY_S))

    async def _step(self) -> bool:
        """False: nothing has come up for long, and nothing is left to do."""
        if not self._world.may_start():
            await self._news.wait(FENCE_LOOK_S)
            return True
        if self._under is not None:
            if await self._deliver(self._under):
                await self._advance(self._under.events_to, self._under.devices_to)
            return True
        if await self._advance(self._events_to, self._devices_to):
            return True
        self._is_resting = not self._waits()
        self.notes += self._is_resting
        return await self._news.wait(IDLE_S) or self._waits()

    def _waits(self) -> bool:
        """Whether something may be there to be told."""
        return self._has_news or self._receipts_after is not None or self._world.ephemeral.has(self.destination)

    async def _advance(self, events_to: int, devices_to: int) -> bool:
        """Everything up to there was received: put the next transaction under way; false if there is none."""
        received, under = (events_to, devices_to), None
        if not self.work.is_stopping:
            received, under = await self._next(events_to, devices_to)
        was_waiting = self._under is not None or received != (self._events_to, self._devices_to)
        is_behind = under is not None or self._waits() or self.work.is_stopping
        if under is None and not was_waiting and is_behind == self._is_behind:
            return False
        self._is_behind = self._is_behind and is_behind  # what comes while it is written is not in the row
        db, name, term, all_received = self._world.db, self.destination, self.term, (*received, self._receipts_to)
        if not await self._insist(lambda: destinations.advance(db, name, term, all_received, under, is_behind)):
            raise ShareLost
        (self._events_to, self._devices_to), self._under, self._is_behind = received, under, is_behind
        self.notes += is_behind
        return under is not None or self._has_news

    async def _next(self, events_to: int, devices_to: int) -> tuple[tuple[int, int], Under | None]:
        """How far it has received everything, and the next transaction. Sets `_pdus`."""
        world, pdus, ids, edus = self._world, [], [], []
        reach = (events_to, devices_to)
        if world.ephemeral.has_dropped_receipts(self.destination):
            self._receipts_after = self._receipts_to
        if self._receipts_after is None and not world.ephemeral.has(self.destination):
            self._receipts_to = max(self._receipts_to, world.sorted_to())
        if self._has_news:
            self._has_news = False
            head = max(world.head(), events_to, devices_to)
            rows, told_to = await self._read_events(events_to, head)
            told = rows[: transaction.fitting([len(row[2]) for row in rows])]
            ids, pdus = [row[1] for row in told], [row[2] for row in told]
            is_whole = len(told) == len(rows) < transaction.PDUS_LIMIT
            news = await self._insist(lambda: world.devices.next(self.destination, devices_to, head))
            edus = news.edus
            reach = (told_to if is_whole else told[-1][0], news.upto)
            self._has_news = self._has_news or reach != (head, head)
        edus = edus + await self._missed_receipts()
        edus += world.ephemeral.take(self.destination, transaction.EDUS_LIMIT - len(edus))
        if not ids and not edus:
            return reach, None
        self._pdus = pdus
        ts = world.now_ms()
        txn_id = f"{ts}-{world.random.getrandbits(48):012x}"
        text = orjson.dumps(edus).decode()
        return (events_to, devices_to), Under(txn_id, ts, *reach, " ".join(ids), text)

    async def _missed_receipts(self) -> list[Edu]:
        """What was read while it could not be remembered here, and again what was told before that."""
        (after, self._receipts_after), world = (self._receipts_after, None), self._world
        if after is None:
            return []
        suffix, upto = ":" + world.client.identity.server_name, max(world.head(), after)
        rows = await self._insist(
            lambda: destinations.receipts(world.db, self.destination, suffix, after, upto, MISSED_LIMIT)
        )
        edus, count = missed_receipts(rows)
        for row in rows[:count]:
            world.ephemeral.drop_receipt(self.destination, row)
        is_whole = count == len(rows) < MISSED_LIMIT
        if not is_whole and self._receipts_after is None:
            self._receipts_after = rows[count - 1][0]
        return edus

    async def _read_events(self, after: int, head: int) -> tuple[list[tuple[int, str, str]], int]:
        """The next rows, and up to where they are all if they are not as many as fit."""
        db, limit = self._world.db, transaction.PDUS_LIMIT
        if self._was_long_away:
            self._was_long_away, self._catch_up_to = False, head
        upto = self._catch_up_to
        if after < upto:
            rows = await self._insist(lambda: destinations.newest_events(db, self.destination, after, upto, limit))
            return [(pos, event_id, json) for pos, event_id, json in rows], upto
        rows = await self._insist(lambda: destinations.events(db, self.destination, after, head, limit))
        return [(pos, event_id, json) for pos, event_id, json in rows], head

    async def _deliver(self, under: Under) -> bool:
        """Whether the transaction was received; if not, some time has passed."""
        pdus = self._pdus
        if pdus is None:
            ids = under.pdus.split()
            found = await self._insist(lambda: destinations.pdus(self._world.db, ids)) if ids else {}
            pdus = self._pdus = [found[event_id] for event_id in ids if event_id in found]
        client = self._world.client
        encoded = transaction.body(client.identity.server_name, under.ts, pdus, under.edus)
        path = transaction.path(under.txn_id)
        await self._world.slots.acquire()
        try:
            with self.work.asking():
                await client.json(self.destination, "PUT", path, None, encoded, backs_off=False)
        except FederationError as error:
            reason, is_forbidden = error.reason, isinstance(error, NotFederating)
        else:
            self.failures = 0
            self._world.told(len(pdus), under.edus.count('"edu_type"'), False)
            return True
        finally:
            self._world.slots.release()
        await self._wait_after_failure(reason, is_forbidden)
        return False

    async def _wait_after_failure(self, reason: str, is_forbidden: bool) -> None:
        world, name, term = self._world, self.destination, self.term
        self.failures += 1
        failures = self.failures
        self._was_long_away = self._was_long_away or failures >= LONG_AWAY_FAILURES
        world.ephemeral.forget(name)
        self._receipts_after = self._receipts_to
        world.told(0, 0, True)
        seconds = FORBIDDEN_RETRY_S if is_forbidden else retry_s(failures, world.random)
        _log.info("{name} receives nothing ({count}): {why}", name=name, count=failures, why=reason)
        retry_at_ms, why = world.now_ms() + round(seconds * 1000), reason[:500].replace("\0", "")
        if not await self._insist(lambda: destinations.failed(world.db, name, term, failures, retry_at_ms, why)):
            raise ShareLost
        if failures >= RETIRED_FAILURES and await self._retire():
            return
        if not self.work.is_stopping and await self._retry.wait(seconds):
            self.failures = 0

    async def _retire(self) -> bool:
        """Whether nothing is kept for it any more. What comes up for it later is told as to any other."""
        world, name, term, upto = self._world, self.destination, self.term, self._world.head()
        me = world.client.identity.server_name
        if not await self._insist(lambda: destinations.retire(world.db, name, term, me, upto)):
            return False
        _log.info("{name} is given up after {count} failures: it shares no room", name=name, count=self.failures)
        self._events_to, self._devices_to = max(self._events_to, upto), max(self._devices_to, upto)
        self._receipts_to, self._receipts_after = max(self._receipts_to, upto), None
        self._under, self._pdus, self._is_behind = None, None, False
        self.failures, self._was_long_away = 0, False
        return True


def retry_s(failures: int, random: Random) -> float:
    """How long to wait after so many failures in a row."""
    seconds = min(LONGEST_RETRY_S, FIRST_RETRY_S * RETRY_GROWTH ** min(failures - 1, 10))
    return seconds * (1 - RETRY_JITTER * random.random())
