"""The state before an event, as servers of its room tell it, kept here as events without state.

A state counts when all of it is here: from one with a hole other states follow than the other servers have, for ever.
So one server after the other is asked, and what one names but does not give is asked of the others too. Only when that
was in vain time and again the most complete state is taken with its holes, or one old event that nobody can verify any
more, its server and key being gone, would end the room here. That is never done silently, and the master fills holes
with what it has (`IncomingEvent.has_holes`). Bounded in servers, requests, whole states and time.

Spec: server-server API, #retrieving-events, #checks-performed-on-receipt-of-a-pdu.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from hs_common.bounded import Bounded
from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.storing import Storing
from hs_common.federation.told_state import ToldState
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.replication.link_interface import Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries

STRICT_TRIES: Final = 2
"""So often only a whole state will do. The events wait a minute or so in all, in which a key server may start anew."""
PATIENT_TRIES: Final = 3
"""And so often while somebody who might give what is missing cannot be asked: some five minutes in all. What a room's
users say meanwhile waits too, so they are not made to wait for who may never come back."""
SERVERS: Final = 10
"""Asked for one state: honest ones tell the same."""
WHOLE_STATES: Final = 2
"""For one event, each of some ten megabytes in a large room. Further servers are asked for ids and single events."""
SINGLE_EVENTS: Final = 40
"""Missing events of a state that are asked for one by one; of more, the state is asked for whole."""
SINGLE_REQUESTS: Final = 200
"""For single events, of all servers for one state."""
GIVEN_UP_S: Final = 24 * 3600.0
"""How long an event that nobody could give is not asked for again: a room that lacks one lacks it in each state."""
MAXIMUM_GIVEN_UP: Final = 10_000
"""Ids that are remembered, some hundred bytes each."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class StateBefore:
    """Ids of the state that are here, and of what was named besides."""

    event_ids: list[str]
    holes: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Search:
    """For one state. `was_unanswered`: somebody could not be asked, or not for all."""

    room: Room
    event_id: str
    servers: Sequence[str]
    until: float
    was_unanswered: bool = False
    whole_states: int = 0
    asked: set[tuple[str, str]] = field(default_factory=set)  # (server, event)
    found: dict[str, ReceivedPdu] = field(default_factory=dict)  # one by one

    def note(self, error: MatrixError) -> None:
        self.was_unanswered = self.was_unanswered or error.status >= 500 or error.status == 429


class StatesBefore:
    """Asks for states. `seconds` is a clock that never goes back; `on_fetch` is called with what is asked for."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        fetching: Fetching,
        seconds: Callable[[], float],
        on_fetch: Callable[[str], None],
    ) -> None:
        self._db = db
        self._master = master
        self._fetching = fetching
        self._storing = Storing(master)
        self._seconds = seconds
        self._on_fetch = on_fetch
        self._large: dict[str, DeferredLock] = {}
        self._given_up = Bounded[str, float](MAXIMUM_GIVEN_UP)  # event → until when

    async def ask(
        self, room: Room, event_id: str, servers: Sequence[str], until: float, tries: int
    ) -> StateBefore | None:
        """The state before an event; None if there is none that will do yet. `servers`: the likeliest first; `tries`:
        how often this was in vain before."""
        search, best = _Search(room, event_id, servers[:SERVERS], until), None
        for server in search.servers:
            if self._seconds() > until:
                search.was_unanswered = True
                break
            self._on_fetch("state")
            try:
                found = await self._from(server, search)
            except MatrixError as error:
                _log.info("{server} does not tell the state at {event}: {error}", **_named(server, search, error))
                search.note(error)
                continue
            if not found.event_ids:
                continue  # there is a create event before any other
            if not self._still_sought(found.holes):
                return self._taken(search, found)
            if best is None or len(found.holes) < len(best.holes):
                best = found
        needed = PATIENT_TRIES if search.was_unanswered else STRICT_TRIES
        return None if best is None or tries < needed else self._taken(search, best)

    def _taken(self, search: _Search, state: StateBefore) -> StateBefore:
        if state.holes:
            self._on_fetch("state with holes")
            _log.warn(
                "the state at {event} in {room} is taken without {count} of its events, which no server gives: {holes}",
                event=search.event_id,
                room=search.room.room_id,
                count=len(state.holes),
                holes=sorted(state.holes)[:SERVERS],
            )
            self._give_up(state.holes)
        return state

    def _give_up(self, event_ids: Iterable[str]) -> None:
        for event_id in self._still_sought(event_ids):
            self._given_up[event_id] = self._seconds() + GIVEN_UP_S

    def _still_sought(self, event_ids: Iterable[str]) -> list[str]:
        now = self._seconds()
        return [one for one in event_ids if self._given_up.get(one, now) <= now]

    async def _from(self, server: str, search: _Search) -> StateBefore:
        """The state that one server names, as much of it as can be had anywhere. Raises MatrixError."""
        ids = await self._fetching.state_ids(server, search.room, search.event_id)
        wanted = [*dict.fromkeys([*ids.state, *ids.auth_chain])]
        unknown = await self._unknown(wanted)
        if len(self._still_sought(unknown)) > SINGLE_EVENTS and search.whole_states < WHOLE_STATES:
            search.whole_states += 1
            await self._whole_state(server, search, set(wanted).difference(unknown))
            unknown = await self._unknown(wanted)
        for one in (server, *(other for other in search.servers if other != server)):
            sought = self._still_sought(unknown)
            if not sought or len(sought) > SINGLE_EVENTS or not unknown.intersection(ids.state):
                break  # it is whole, or cannot become it; chains alone are of no use
            await self._ask_singly(one, search, sought)
            unknown = await self._unknown(wanted)
        return StateBefore(
            [one for one in ids.state if one not in unknown], frozenset(one for one in ids.state if one in unknown)
        )

    async def _ask_singly(self, server: str, search: _Search, event_ids: Sequence[str]) -> None:
        """Keep what a server gives of these events; whatever it does not, others may."""
        new = [one for one in event_ids if (server, one) not in search.asked and one not in search.found]
        allowed = new[: SINGLE_REQUESTS - len(search.asked)]
        if len(allowed) < len(new) or self._seconds() > search.until:
            search.was_unanswered = True
        if not allowed or self._seconds() > search.until:
            return
        search.asked.update((server, one) for one in allowed)
        found, failure = await self._fetching.events(server, search.room, allowed)
        if failure is not None:
            search.note(failure)
        search.found.update((event.event_id, event) for event in found)
        # All again: one may have waited for what another server gave only now.
        missing = await self._unknown(list(search.found))
        await self._storing.store(search.room, [search.found[one] for one in sorted(missing)])

    async def _unknown(self, event_ids: Sequence[str]) -> set[str]:
        return set(event_ids) - await federated_rooms.known_events(self._db, event_ids)

    async def _whole_state(self, server: str, search: _Search, known: Collection[str]) -> None:
        """Keep the state before an event and its auth chain. One at a time of each server: it lies in memory until all
        of it has come."""
        turns = self._large.setdefault(server, DeferredLock())
        await turns.acquire()
        try:
            told = ToldState(self._fetching, self._master, search.room, "pdus")
            await self._fetching.stream_state(server, search.room, search.event_id, told.take)
            await told.end()
            await told.store(known)
        finally:
            turns.release()
            if not turns.locked and self._large.get(server) is turns:
                del self._large[server]


def _named(server: str, search: _Search, error: MatrixError) -> dict[str, object]:
    return {"server": server, "event": search.event_id, "error": error}
