"""Taking events into a room of this server, fetching of other servers what the master finds missing.

First the way back is walked (`/get_missing_events`), so that the timeline has no hole; where that does not reach what
is here, the state at the oldest event found is asked for. What is less deep than the event by which this server came
into the room is history, never news: it is left to backfill. Bounded in rounds, events and time: what cannot be
completed now is answered as such, and nothing of it was kept but events without state, which do no harm.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu, #backfilling-and-retrieving-missing-events.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from twisted.logger import Logger

from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.states_before import StateBefore, StatesBefore
from hs_common.federation.storing import Storing
from hs_common.federation.topology import cited_first, pieces
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.replication.federation_calls import IncomingEvent, Received, ReceiveEvents, Verdict
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import federated_rooms, room_state
from hs_common.storage.queries import Queries

ROUNDS: Final = 24
"""Calls to the master for one bundle by which no event is decided: some of walking back, some of state."""
WALKS: Final = 6
"""Answers of /get_missing_events followed for one bundle: some hundred events; further back is left to backfill."""
FETCHED: Final = 500
"""Events fetched for one bundle besides auth chains and state."""
FRUITLESS: Final = 3
"""Auth chains for one bundle in which nothing of what is missing was: each may have some ten thousand events."""
STATES: Final = 5
"""States asked for in one bundle; each may be a room's whole state."""
SECONDS: Final = 120.0
"""For one bundle, in which other events of the room wait."""

RESIDENTS: Final = 5
"""Servers in the room that are asked where the sender of an event does not know."""

_log = Logger()


@dataclass(slots=True)
class Bundle:
    """Events of one room on their way in. `servers`: whom to ask, the likeliest first."""

    room: Room
    servers: list[str]
    waiting: dict[str, ReceivedPdu]
    until: float
    tries: int = 0
    states: dict[str, StateBefore] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    walks: int = 0
    fetched: int = 0
    asked_states: set[str] = field(default_factory=set)
    asked_auth: set[str] = field(default_factory=set)
    fruitless: int = 0  # auth chains in which nothing was of what was missing
    asked_room: bool = False  # whether `servers` has been extended by those in the room


class Completing:
    """Takes events in. `seconds`: a clock that never goes back; `on_fetch` is called with what is asked for."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        fetching: Fetching,
        seconds: Callable[[], float],
        server_name: str,
        on_fetch: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._db = db
        self._server_name = server_name
        self._master = master
        self._fetching = fetching
        self._storing = Storing(master)
        self._seconds = seconds
        self._on_fetch = on_fetch
        self._states = StatesBefore(db, master, fetching, seconds, on_fetch)

    async def take_in(
        self,
        room: Room,
        events: Iterable[ReceivedPdu],
        servers: Sequence[str],
        *,
        introduced: bool = False,
        may_fetch: bool = True,
        tries: int = 0,
    ) -> dict[str, Verdict]:
        """The verdicts by event id, also of events that were fetched. Raises MatrixError: the master's.

        An event that is missing something still has the verdict `missing`: it may succeed later. Without `may_fetch`
        nobody is asked for it. `tries`: how often it was asked for in vain before.
        """
        waiting, until = {event.event_id: event for event in events}, self._seconds() + SECONDS
        bundle = Bundle(room, self._others(servers), waiting, until, tries)
        fruitless = 0
        while bundle.waiting and fruitless < ROUNDS and self._seconds() <= bundle.until:
            before = len(bundle.waiting)
            await self._receive(bundle, introduced)
            missing = [bundle.verdicts[event_id] for event_id in bundle.waiting]
            is_progress = len(missing) < before
            fruitless += not is_progress
            lacking = [verdict for verdict in missing if verdict.status == "missing"]
            # Events that fork the room are taken one a call, so as long as some are decided others get their turn.
            is_fetched = may_fetch and bool(lacking) and await self._complete(bundle, lacking)
            if lacking and not is_fetched and not is_progress:
                break
        return bundle.verdicts

    def _others(self, servers: Iterable[str]) -> list[str]:
        return [server for server in dict.fromkeys(servers) if server != self._server_name]

    async def _receive(self, bundle: Bundle, introduced: bool) -> None:
        """Give the master what waits; only what is decided stops waiting."""
        options = CallOptions(lane="federation", origin=bundle.servers[0] if bundle.servers else "")
        for piece in pieces(cited_first(bundle.waiting.values()), lambda event: len(event.encoded)):
            call = ReceiveEvents(
                room_id=bundle.room.room_id,
                events=[_incoming(one, bundle.states.get(one.event_id)) for one in piece],
                introduced=introduced,
            )
            answer = await self._master.call(call, options=options)
            assert isinstance(answer, Received), "a call is answered by what it names"
            for verdict in answer.verdicts:
                bundle.verdicts[verdict.event_id] = verdict
                if verdict.status not in ("missing", "later"):
                    bundle.waiting.pop(verdict.event_id, None)
        for event_id in list(bundle.waiting):
            if event_id not in bundle.verdicts:  # cites itself in a circle, so it was never asked about
                del bundle.waiting[event_id]
                bundle.verdicts[event_id] = Verdict(event_id=event_id, status="rejected", reason="it cites itself")

    async def _complete(self, bundle: Bundle, missing: Sequence[Verdict]) -> bool:
        """Fetch some of what is missing; false if there is nothing more to try."""
        if not bundle.asked_room:
            bundle.asked_room = True
            resident = await room_state.servers(self._db, bundle.room.room_id, RESIDENTS)
            bundle.servers = self._others([*bundle.servers, *resident])
        tried = await self._fetch_auth(bundle, [verdict for verdict in missing if verdict.missing_auth])
        without_prev = [verdict for verdict in missing if self._lacks_prev(bundle, verdict)]
        if without_prev and bundle.walks < WALKS and bundle.fetched < FETCHED:
            bundle.walks += 1
            if await self._walk_back(bundle, without_prev):
                return True
            bundle.walks = WALKS  # nobody knows more of them: next their state
        for verdict in without_prev:
            if len(bundle.asked_states) >= STATES or self._seconds() > bundle.until:
                break
            if verdict.event_id not in bundle.asked_states:
                bundle.asked_states.add(verdict.event_id)
                tried = await self._fetch_state(bundle, verdict.event_id) or tried
        return tried

    async def _fetch_state(self, bundle: Bundle, event_id: str) -> bool:
        """The state before an event, kept as events without state."""
        state = await self._states.ask(bundle.room, event_id, bundle.servers, bundle.until, bundle.tries)
        if state is None:
            return False
        bundle.states[event_id] = state
        return True

    def _lacks_prev(self, bundle: Bundle, verdict: Verdict) -> bool:
        """Whether prev events are missing that do not wait beside it."""
        return any(event_id not in bundle.waiting for event_id in verdict.missing_prev) and (
            verdict.event_id not in bundle.states
        )

    async def _walk_back(self, bundle: Bundle, verdicts: Sequence[Verdict]) -> bool:
        """Events before those whose prev events are missing."""
        earliest = await federated_rooms.extremities(self._db, bundle.room.room_id)
        latest = [verdict.event_id for verdict in verdicts]
        entered_by = await federated_rooms.entered_by(self._db, bundle.room.room_id, self._server_name)
        min_depth = 0 if entered_by is None else int(orjson.loads(entered_by)["depth"])

        async def ask(server: str) -> list[ReceivedPdu]:
            found = await self._fetching.missing_events(server, bundle.room, earliest, latest, min_depth)
            return [event for event in found if event.event.depth >= min_depth]

        found = await self._first(bundle, "missing events", ask)
        new = [event for event in found if event.event_id not in bundle.waiting and not self._is_decided(bundle, event)]
        for event in new[: FETCHED - bundle.fetched]:
            bundle.waiting[event.event_id] = event
        bundle.fetched += len(new)
        return bool(new)

    @staticmethod
    def _is_decided(bundle: Bundle, event: ReceivedPdu) -> bool:
        verdict = bundle.verdicts.get(event.event_id)
        return verdict is not None and verdict.status not in ("missing", "later")

    async def _fetch_auth(self, bundle: Bundle, verdicts: Sequence[Verdict]) -> bool:
        """The auth chains of events whose auth events are missing."""
        tried = False
        for verdict in verdicts:
            if verdict.event_id in bundle.asked_auth or self._seconds() > bundle.until or bundle.fruitless >= FRUITLESS:
                continue
            bundle.asked_auth.add(verdict.event_id)

            async def ask(server: str, event_id: str = verdict.event_id) -> list[ReceivedPdu]:
                return await self._fetching.auth_chain(server, bundle.room, event_id)

            found = _cited_by(verdict.missing_auth, await self._first(bundle, "auth chain", ask))
            await self._storing.store(bundle.room, await self._unknown(found))
            tried = tried or bool(found)
            bundle.fruitless += not found
        return tried

    async def _unknown(self, events: Sequence[ReceivedPdu]) -> list[ReceivedPdu]:
        known = await federated_rooms.known_events(self._db, [event.event_id for event in events])
        return [event for event in events if event.event_id not in known]

    async def _first(
        self, bundle: Bundle, what: str, ask: Callable[[str], Awaitable[list[ReceivedPdu]]]
    ) -> list[ReceivedPdu]:
        """The first answer that has something in it."""
        for server in bundle.servers:
            if self._seconds() > bundle.until:
                break
            self._on_fetch(what)
            try:
                found = await ask(server)
            except MatrixError as error:
                _log.info("{server} does not tell {what}: {error}", server=server, what=what, error=error)
                continue
            if found:
                return found
        return []


def _incoming(event: ReceivedPdu, state: StateBefore | None) -> IncomingEvent:
    if state is None:
        return IncomingEvent(event_id=event.event_id, pdu=event.encoded)
    has_holes = bool(state.holes)
    return IncomingEvent(event_id=event.event_id, pdu=event.encoded, state=state.event_ids, has_holes=has_holes)


def _cited_by(event_ids: Iterable[str], found: Sequence[ReceivedPdu]) -> list[ReceivedPdu]:
    """Those of the events that are wanted, and what these cite in turn: nobody asked for the others."""
    by_id = {event.event_id: event for event in found}
    reached: dict[str, ReceivedPdu] = {}
    waiting = list(event_ids)
    while waiting:
        event = by_id.get(waiting.pop())
        if event is not None and event.event_id not in reached:
            reached[event.event_id] = event
            waiting += event.event.auth_event_ids
    return list(reached.values())
