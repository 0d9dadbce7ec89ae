"""Long polls of `GET /sync` that need nothing but memory: the endpoint's quick way, without a coroutine for each.

Rules: whatever is not there, or not usual, goes the long way, where `Sync` and `Answering` have the same question from
its beginning; a poll that has waited may still go there. So nothing is decided here that they decide otherwise, and
nothing counts as told before it is written.

Spec: client-server API, #get_matrixclientv3sync.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hs_common.bounded import Bounded
from hs_common.http.endpoint import EndpointDeclaration, declarations_of
from hs_common.http.quick_exchange import QuickExchange
from hs_common.http.request import Query
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import SyncToken
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.settings import Settings
from hs_common.replication.ephemeral_view import EphemeralView
from hs_workers.sync import ephemeral
from hs_workers.sync.answering import SLICE_SECONDS, Log, empty
from hs_workers.sync.audience import Audience, TrackedUser
from hs_workers.sync.client_filters import ClientFilters
from hs_workers.sync.devices import DeviceNews, Devices
from hs_workers.sync.fast_lane import FastLane
from hs_workers.sync.general import Question
from hs_workers.sync.lost_history import LostHistory
from hs_workers.sync.parameters import Parameters, Reader, Wishes, parse
from hs_workers.sync.presence_by_sync import PresenceBySync
from hs_workers.sync.recent_log import RecentLog
from hs_workers.sync.sync import Sync
from hs_workers.sync.waiting import WaitingClients, Wake

REMEMBERED_QUERIES: Final = 1_000
"""Read ones: all who wait for the same news come with the same token."""
REMEMBERED_LENGTH: Final = 512
"""Bytes of one."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a question is made and answered from."""

    follower: Callable[[], Log]
    audience: Audience
    settings: ReaderSettings
    devices: Devices
    recent: RecentLog
    view: EphemeralView
    lost: LostHistory
    fast: FastLane


class QuickPolls:
    """The quick way of `Sync`."""

    declaration: Final[EndpointDeclaration] = next(declarations_of(Sync))[1]

    def __init__(
        self,
        memory: Memory,
        filters: ClientFilters,
        waiting: WaitingClients,
        presence: PresenceBySync,
        seconds: Callable[[], float],
        maximum_timeout_ms: int,
    ) -> None:
        self._memory = memory
        self._filters = filters
        self._waiting = waiting
        self._presence = presence
        self._seconds = seconds
        self._maximum_timeout_ms = maximum_timeout_ms
        self._parsed = Bounded[bytes, Parameters](REMEMBERED_QUERIES)

    def may_want(self, query_string: bytes) -> bool:
        """False for what does not wait: without a token, or without a time."""
        return b"since=" in query_string and b"timeout=" in query_string and b"timeout=0" not in query_string

    def take(self, exchange: QuickExchange) -> bool:
        """Whether it keeps the request: then it has begun it, and answers it now or later."""
        parameters = self._parameters(exchange.query_string)
        since = None if parameters is None else parameters.since
        if parameters is None or since is None or not parameters.waits or self._waiting.ended or self._waiting.is_full:
            return False
        requester = exchange.requester
        filter = self._filters.known(requester.user_id, parameters.filter)
        if filter is None:
            return False
        reader = Reader(requester.user_id, requester.device_id, requester.token_hash)
        wishes = Wishes(filter, parameters.full_state, parameters.use_state_after)
        poll = _Poll(self._memory, self._waiting, self._seconds, exchange, reader, wishes, since, parameters)
        return poll.take(self._presence)

    def _parameters(self, query_string: bytes) -> Parameters | None:
        """None for what is wrong with them, which is said on the long way."""
        parameters = self._parsed.get(query_string)
        if parameters is None:
            try:
                parameters = parse(Query(query_string), self._maximum_timeout_ms)
            except MatrixError:
                return None
            if len(query_string) <= REMEMBERED_LENGTH:
                self._parsed[query_string] = parameters
        return parameters


class _Poll:
    """One of them: a waiter between its looks at what there is."""

    __slots__ = (
        "_deadline",
        "_exchange",
        "_held",
        "_is_waiting",
        "_memory",
        "_now",
        "_parameters",
        "_presence",
        "_seconds",
        "_settings",
        "_since",
        "_user",
        "_waiting",
        "_wishes",
        "reader",
    )
    _user: TrackedUser
    _settings: Settings
    _now: int
    _presence: PresenceBySync

    def __init__(
        self,
        memory: Memory,
        waiting: WaitingClients,
        seconds: Callable[[], float],
        exchange: QuickExchange,
        reader: Reader,
        wishes: Wishes,
        since: SyncToken,
        parameters: Parameters,
    ) -> None:
        self._memory = memory
        self._waiting = waiting
        self._seconds = seconds
        self._exchange = exchange
        self.reader = reader
        self._wishes = wishes
        self._since = self._held = since
        self._parameters = parameters
        self._deadline = exchange.started_s + parameters.timeout_s
        self._is_waiting = False

    def take(self, presence: PresenceBySync) -> bool:
        """The first look: False if the request must go the long way."""
        device = self._device()
        if device is None:
            return False
        body = b""
        if not self._is_nothing_new(device):
            answer = self._memory.fast.answer(self._question(device), self._user)
            if answer is None:
                return False
            self._since = answer.next_batch
            body = answer.body if answer.has_news else b""
        self._presence = presence
        self._exchange.begin()
        self._note_presence()
        if body:
            self._exchange.answer(body)
        else:
            self._wait(self._parameters.timeout_s)
        return True

    # --- the waiter ---

    def wake(self, why: Wake) -> None:
        """The wait ends."""
        if not self._is_waiting:
            return
        self._leave()
        try:
            self._look(why)
        except Exception as error:  # a bug costs this poll, not those that are woken after it
            self._exchange.refuse(error)

    def refuse(self, error: MatrixError) -> None:
        """The wait ends with an error."""
        if self._is_waiting:
            self._leave()
            self._exchange.refuse(error)

    def _gone(self) -> None:
        if self._is_waiting:
            self._leave()

    def _wait(self, seconds: float) -> None:
        self._is_waiting = True
        self._exchange.on_gone = self._gone
        self._waiting.add(self, self._user, min(seconds, SLICE_SECONDS))

    def _leave(self) -> None:
        self._is_waiting = False
        self._waiting.remove(self, self._user)

    # --- looking ---

    def _look(self, why: Wake) -> None:
        device = self._device()
        question = None if device is None else self._question(device)
        if question is not None and why is Wake.END:
            self._exchange.answer(empty(question, self._since).body)
            return
        answer = None if question is None else self._memory.fast.answer(question, self._user)
        if answer is None:
            self._exchange.hand_over()
            return
        self._note_presence()
        left_s = self._deadline - self._seconds()
        if answer.has_news or left_s <= 0:
            self._exchange.answer(answer.body)
        else:
            self._since = answer.next_batch
            self._wait(left_s)

    def _device(self) -> DeviceNews | None:
        """What is to be told of the device; None if it takes more than memory to answer at this process' position."""
        memory, since, reader = self._memory, self._since, self.reader
        follower = memory.follower()
        now = follower.position.pos
        user = memory.audience.known(reader.user_id)
        settings = memory.settings.known(reader.user_id)
        if user is None or settings is None or not follower.is_live or now < since.position:
            return None
        if memory.lost.is_lost(since.position) is not False:
            return None
        self._user, self._settings, self._now = user, settings, now
        return memory.devices.unchanged(reader, since)

    def _question(self, device: DeviceNews) -> Question:
        """What is to be answered, right after `_device`."""
        return Question(self.reader, self._wishes, self._settings, self._since, self._now, False, device, self._held)

    def _is_nothing_new(self, device: DeviceNews) -> bool:
        """Whether there is nothing after the token that could be looked at."""
        memory, since = self._memory, self._since
        is_last = memory.recent.is_last(since.position) and memory.view.position <= ephemeral.counter_of(since)
        return is_last and not device.messages

    def _note_presence(self) -> None:
        there = (self.reader.user_id, self.reader.device_id, self._parameters.set_presence)
        if self._presence.is_news(*there):
            self._exchange.on_its_behalf(lambda: self._presence.syncs(*there))
