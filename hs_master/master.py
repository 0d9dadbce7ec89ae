"""One master, from standing by over leading to handing over, again and again until it is stopped.

What belongs to a term (head of the log, room heads, publisher) is made at its start and dropped at its end. Must not
know how a process is started, nor what carries the log.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from hs_common.replication import link_server
from hs_common.replication.entry import Entry
from hs_common.replication.link_server import LinkServer
from hs_master.leadership import Election
from hs_master.leading import Term
from hs_master.log_store.types import Leadership
from hs_master.standby import Standby
from hs_master.step import Knowledge

_log = Logger()


class Announcer(Protocol):
    """Tells followers what is committed, in one epoch. Nothing here waits, and nothing is told twice on purpose."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def publish(self, entry: Entry) -> None:
        """Offers a committed entry; it may be lost, then followers read it in the outbox."""

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        """Offers an ephemeral message; it may be lost, then its value is told again later."""


class Silent:
    """Where nothing carries the log: followers read the outbox."""

    def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    def publish(self, entry: Entry) -> None:
        """Followers find the entry in the outbox."""

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        """Nobody hears of it."""


class Master:
    """Stands by, leads, steps down."""

    def __init__(
        self,
        election: Election,
        make_term: Callable[["Master", Leadership, Knowledge], Term],
        make_announcer: Callable[["Master", Leadership], Announcer],
        find_leader_address: Callable[[], str | None],
        make_standby: Callable[[], Standby | None] = lambda: None,
    ) -> None:
        self._election = election
        self._make_term = make_term
        self._make_announcer = make_announcer
        self._find_leader_address = find_leader_address
        self._make_standby = make_standby
        self._standby: Standby | None = None
        self._term: Term | None = None
        self._announcer: Announcer = Silent()
        self._epoch: int | None = None
        self._running: Deferred[None] | None = None
        self.link: LinkServer | None = None

    @property
    def head(self) -> int:
        """The last position committed in this term; 0 while not leading."""
        return 0 if self._term is None else self._term.writer.head

    @property
    def waiting(self) -> int:
        """Calls that wait to be decided."""
        return 0 if self._term is None else self._term.waiting

    @property
    def epoch(self) -> int | None:
        """The epoch in which this process leads; None while it does not."""
        return self._epoch if self._election.is_leader else None

    def is_leading(self) -> bool:
        return self._term is not None and self._election.is_leader

    def leadership(self) -> link_server.Leadership:
        """What a worker that connects is told."""
        epoch = self._epoch if self._term is not None else None
        return link_server.Leadership(epoch, None if epoch is not None else self._find_leader_address())

    def publish(self, entry: Entry) -> None:
        self._announcer.publish(entry)

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        self._announcer.publish_ephemeral(counter, body)

    def fenced(self) -> None:
        """Something showed that another process leads."""
        self._election.fenced()

    def take_new_epoch(self, leadership: Leadership) -> None:
        """The process took over from itself to end a doubt: what is announced from now on is of the new epoch."""
        old, self._announcer = self._announcer, self._make_announcer(self, leadership)
        self._epoch = leadership.epoch
        self._announcer.start()
        Deferred.fromCoroutine(_stopped(old))

    def start(self, on_failure: Callable[[Exception], None]) -> None:
        """Run until stopped; `on_failure` is called if this process can never lead."""
        self._running = Deferred.fromCoroutine(self._run())

        def failed(failure: object) -> None:
            error = getattr(failure, "value", None)
            if not isinstance(error, CancelledError):
                on_failure(error if isinstance(error, Exception) else RuntimeError(str(failure)))

        self._running.addErrback(failed)

    async def stop(self) -> None:
        """Hand over: refuse new calls, write what is being written, let a standby lead at once."""
        if self._running is not None:
            self._running.cancel()
        if self._standby is not None:
            await self._standby.stop()
        if self._term is not None:
            await self._end_term()
        await self._election.step_down()

    async def _run(self) -> None:
        while True:
            self._standby = self._make_standby()
            if self._standby is not None:
                self._standby.start()
            leadership = await self._election.lead()
            knowledge = await self._known(leadership)
            _log.info("leading in epoch {epoch} from position {pos}", epoch=leadership.epoch, pos=leadership.first)
            self._epoch = leadership.epoch
            self._announcer = self._make_announcer(self, leadership)
            self._announcer.start()
            self._term = self._make_term(self, leadership, knowledge)
            self._term.start()
            reason = await self._election.until_lost()
            _log.warn("leading no more: {reason}", reason=reason)
            await self._end_term()

    async def _known(self, leadership: Leadership) -> Knowledge:
        """What this process has kept ready while it stood by."""
        standby, self._standby = self._standby, None
        return Knowledge() if standby is None else await standby.knowledge_at(leadership.head)

    async def _end_term(self) -> None:
        term, self._term = self._term, None
        if self.link is not None:
            self.link.step_down()
        if term is not None:
            await term.stop()
        announcer, self._announcer = self._announcer, Silent()
        await announcer.stop()


async def _stopped(announcer: Announcer) -> None:
    await announcer.stop()
