"""From a question to its answer: at which position, by which way, and waiting while there is nothing to tell.

Rules. A client that does not wait is answered at the head that Postgres names, so it reads its own writes. One that
waits is answered at this process' position, which never falls behind for long, and costs no statement for that. A token
ahead of this process is waited for; one that the log has lost is answered from where the history broke.

Spec: client-server API, #get_matrixclientv3sync.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from hs_common.matrix.errors import unknown
from hs_common.matrix.tokens import SyncToken
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.replication.carrier import Position
from hs_common.storage import log
from hs_common.storage.queries import Queries
from hs_workers.sync.answer import Answer, Parts, assemble
from hs_workers.sync.audience import Audience, TrackedUser
from hs_workers.sync.devices import Devices
from hs_workers.sync.fast_lane import FastLane
from hs_workers.sync.general import GeneralWay, Question
from hs_workers.sync.lost_history import LostHistory
from hs_workers.sync.parameters import Reader, Wishes
from hs_workers.sync.waiting import WaitingClients, Wake

# How long a token that is ahead of this process is waited for.
AHEAD_SECONDS: Final = 1.0
# How long this process is waited for to be at the head, before Postgres is asked instead.
NEAR_SECONDS: Final = 0.05
# A wait is looked after at least this often, so that the user stays online meanwhile.
SLICE_SECONDS: Final = 30.0


class Log(Protocol):
    """This process' place in the log (the follower)."""

    @property
    def position(self) -> Position:
        """Where it is."""

    @property
    def is_live(self) -> bool:
        """Whether the position is to be relied on."""

    def catch_up(self) -> None:
        """There is more in the log."""

    async def wait_for(self, pos: int, timeout: float) -> bool:
        """Whether the position was reached in time."""


class Answering:
    """Answers one process' requests."""

    def __init__(
        self,
        db: Queries,
        follower: Callable[[], Log],
        general: GeneralWay,
        fast: FastLane,
        audience: Audience,
        waiting: WaitingClients,
        settings: ReaderSettings,
        devices: Devices,
        seconds: Callable[[], float],
    ) -> None:
        self._db = db
        self._follower = follower
        self._general = general
        self._fast = fast
        self._audience = audience
        self._waiting = waiting
        self._settings = settings
        self._devices = devices
        self._seconds = seconds
        self.lost = LostHistory(db, lambda: follower().position.epoch)

    async def at_once(self, reader: Reader, wishes: Wishes, since: SyncToken | None) -> Answer:
        """The answer now, with all that was committed before the question."""
        now = await log.head(self._db)
        if since is not None and since.position <= now:
            answer = await self._from_memory(reader, wishes, since, now)
            if answer is not None:
                return answer
        settings = await self._settings.fresh(reader.user_id)
        question = Question(reader, wishes, settings, since, now)
        if since is not None:
            # What this process has not come to may be of an epoch that it has not heard of.
            has_come = since.position <= now <= self._follower().position.pos
            lost_at = await self.lost.before(since.position, anew=not has_come)
            if lost_at is not None or since.position > now:
                question = _after_loss(question, since, now if lost_at is None else lost_at)
        device = await self._devices.read(reader, question.since, now, count=True)
        answer, _ = await self._general.answer(question._replace(device=device))
        return answer

    async def _from_memory(self, reader: Reader, wishes: Wishes, since: SyncToken, now: int) -> Answer | None:
        """The answer at `now` or later by the fast lane; None if this process is not there, or it is not for that."""
        follower = self._follower()
        if not follower.is_live or not (follower.position.pos >= now or await follower.wait_for(now, NEAR_SECONDS)):
            return None
        user = await self._audience.track(reader.user_id)
        settings = await self._settings.of(reader.user_id)
        # Asked last: the log may have lost its tail while this was read.
        if await self.lost.before(since.position) is not None:
            return None
        await self._devices.refresh(reader, since, follower.position.pos)
        device = self._devices.from_memory(reader, since)
        if device is None:
            return None
        return self._fast.answer(Question(reader, wishes, settings, since, follower.position.pos, device=device), user)

    async def waiting(
        self, reader: Reader, wishes: Wishes, since: SyncToken, timeout_s: float, is_there: Callable[[], None]
    ) -> Answer:
        """The answer as soon as there is news, or an empty one when the time is up. `is_there` is called now and then.

        Raises 401 when the token is revoked meanwhile, 503 if this process cannot get to where the token is.
        """
        deadline, held = self._seconds() + timeout_s, since
        if not await self._reaches(since.position):
            return await self._ahead(reader, wishes, since)
        while True:
            user = await self._audience.track(reader.user_id)
            settings = await self._settings.of(reader.user_id)
            is_there()
            # Asked last, and without waiting while the epoch stays: the log may have lost its tail meanwhile.
            if await self.lost.before(since.position) is not None:
                return await self.at_once(reader, wishes, since)
            await self._devices.refresh(reader, since, self._follower().position.pos)
            # From here to the fast lane's answer nothing else runs.
            now, seen = self._follower().position.pos, user.news
            device = self._devices.from_memory(reader, since)
            is_now = device is not None  # else messages came while the inbox was read
            device = device or await self._devices.read(reader, since, now)
            question = Question(reader, wishes, settings, since, now, device=device, held=held)
            answer = await (self._answer(question, user) if is_now else self._by_general_way(question))
            left = deadline - self._seconds()
            if answer.has_news or left <= 0:
                return answer
            since = answer.next_batch
            if self._audience.get(reader.user_id) is user:  # else he is tracked no more, and nothing would wake him
                why = await self._waiting.wait(reader, user, seen, min(left, SLICE_SECONDS))
                if why is Wake.END:
                    return empty(question, since)

    async def _answer(self, question: Question, user: TrackedUser) -> Answer:
        """The answer at this process' position, by the fast lane if that can give it."""
        return self._fast.answer(question, user) or await self._by_general_way(question)

    async def _by_general_way(self, question: Question) -> Answer:
        answer, counts = await self._general.answer(question)
        self._fast.counted(question.reader.user_id, counts)
        return answer

    async def _reaches(self, position: int) -> bool:
        follower = self._follower()
        if follower.is_live and follower.position.pos >= position:
            return True
        follower.catch_up()
        return await follower.wait_for(position, AHEAD_SECONDS)

    async def _ahead(self, reader: Reader, wishes: Wishes, since: SyncToken) -> Answer:
        """A token that this process does not get to: of a lost history, or this process is the one that is late."""
        now = await log.head(self._db)
        if since.position <= now and await self.lost.before(since.position, anew=True) is None:
            raise unknown("This server is behind the token; try again", 503)
        return await self.at_once(reader, wishes, since)


def empty(question: Question, since: SyncToken) -> Answer:
    """Nothing happened, and the token stays."""
    parts, wishes, user_id = Parts(), question.wishes, question.reader.user_id
    question.device._replace(messages=(), counts_changed=False).add_to(parts)
    return assemble(parts, since, wishes.filter, user_id, use_state_after=wishes.use_state_after, incremental=True)


def _after_loss(question: Question, since: SyncToken, survived: int) -> Question:
    """From the last position that survived, all of every room's state, as the client may hold what is no more."""
    wishes = question.wishes._replace(full_state=True)
    counted = replace(since, position=min(survived, question.now))
    return question._replace(wishes=wishes, since=counted, lost=True)
