"""Fills gaps in timelines with history of other servers, when somebody reads there.

A gap is filled by one request at a time, whoever waits for it. Of each page the events are checked by themselves and by
their auth events; the state before the oldest of them is asked for as far as readers need it.

Where one does not answer, or refuses, a gap stays for the next reader. Where all of those asked answer that they know
no more, they may have the same gap, and fill it while we ask; others may know, or come back to the room. So what is
here as mere state takes its place, as far as that leads back; else the gap is asked for again, of others too, later and
later. Only what nobody knew time and again ends it.

Spec: server-server API, #backfilling-and-retrieving-missing-events.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import orjson
from twisted.logger import Logger

from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.storing import Storing
from hs_common.federation.topology import cited_first
from hs_common.matrix.auth_rules import CREATE_KEY, AuthError, authorise, state_of
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.identifiers import domain_of
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.missing_events import missing_from_timeline
from hs_common.replication.federation_calls import HistoryInserted, InsertHistory, Pdu
from hs_common.replication.link_interface import Link
from hs_common.storage import federated_rooms, room_forks, room_gaps, room_state
from hs_common.storage.queries import Queries
from hs_common.storage.room_gaps import Gap, Place
from hs_common.under_way import UnderWay

PAGE: Final = 100
"""Events asked for at once, and what one call to the master takes."""
PAGES: Final = 3
"""Filled for one reader; the rest when he reads on."""
PASSED: Final = 10
"""Gaps that do not move, behind which older ones are filled for one reader."""
SERVERS: Final = 4
"""Asked for one page; the next ones when these knew no more."""
AGAIN_S: Final = (60.0, 600.0, 3600.0, 24 * 3600.0)
"""After which a gap is worth asking for again, of which nobody knew more; once more in vain it ends."""
MAXIMUM_SERVERS: Final = SERVERS * (len(AGAIN_S) + 1) + 1
"""Of a room, those that can have their turn, and our own."""
SECONDS: Final = 15.0
"""After which no further server is asked for one page: somebody waits."""
SINGLE_EVENTS: Final = 40
"""Auth events and state of old that are asked for one by one; what is missing beyond is done without."""
READ_STATE: Final = ("m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility")

_log = Logger()


class Backfilling:
    """Asks for history. `server_name` is this server's, `seconds` a clock that never goes back, `now_ms` the time."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        fetching: Fetching,
        server_name: str,
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._master = master
        self._fetching = fetching
        self._storing = Storing(master)
        self._server_name = server_name
        self._seconds = seconds
        self._now_ms = now_ms
        self._under_way = UnderWay[tuple[str, int]]()

    async def fill(self, room_id: str, start: Place, stop: Place, wanted: int) -> None:
        """Fill what is missing where somebody is about to read so many events backwards, from `start` to `stop`."""

        async def has_enough(gap: Gap) -> bool:
            low = (gap.before_pos, gap.next_sub)
            return await room_gaps.count_between(self._db, room_id, low, start, wanted) >= wanted

        await self._fill_until(has_enough, room_id, start, stop)

    async def look_for(self, room_id: str, event_id: str) -> None:
        """An event is asked for that is not here: it may be in what is missing last."""

        async def is_here(gap: Gap) -> bool:
            return bool(await room_gaps.in_timeline(self._db, [event_id]))

        await self._fill_until(is_here, room_id, (2**62, 0), (0, -(2**31)))

    async def _fill_until(
        self, is_done: Callable[[Gap], Awaitable[bool]], room_id: str, start: Place, stop: Place
    ) -> None:
        """Fill the newest gaps first. One that does not move, as somebody refuses what he may have, stays for the next
        reader, and hides none of the older ones."""
        pages, passed, until = PAGES, PASSED, self._seconds() + SECONDS
        while pages and passed and self._seconds() < until:
            gap = await room_gaps.newest_gap(self._db, room_id, start, stop, self._now_ms())
            if gap is None or await is_done(gap):
                return
            if await self._fill(room_id, gap):
                pages -= 1
            else:
                passed, start = passed - 1, (gap.before_pos, gap.next_sub)

    async def _fill(self, room_id: str, gap: Gap) -> bool:
        """Whether the gap has moved."""
        key = (room_id, gap.before_pos)
        if key in self._under_way:
            await self._under_way.end_of(key)
            return True
        with self._under_way.begun(key):
            try:
                return await self._ask(room_id, gap)
            except MatrixError as error:
                _log.info("history of {room} cannot be had: {error}", room=room_id, error=error)
                return False

    async def _ask(self, room_id: str, gap: Gap) -> bool:
        version = await room_state.room_version(self._db, room_id)
        servers = await room_state.servers(self._db, room_id, MAXIMUM_SERVERS)
        if version is None or not await room_state.server_is_in_room(self._db, room_id, self._server_name):
            return False
        room, until = Room(room_id, ROOM_VERSIONS[version]), self._seconds() + SECONDS
        if not await self._missing(room, set(gap.wanted)):  # it has come otherwise, and is shown elsewhere
            return await self._call(room_id, gap, [], [], [], is_end=True)
        others, failed = _turn([one for one in servers if one != self._server_name], gap.in_vain), False
        for server in others:
            if self._seconds() > until:
                return False
            try:
                found = await self._fetching.backfill(server, room, gap.wanted, PAGE)
                connected = await self._connected(found, gap.wanted)
                if connected:
                    return await self._insert(server, room, gap, connected)
            except MatrixError as error:
                _log.info("{server} does not tell history: {error}", server=server, error=error)
                failed = True
        if not others or failed:  # who cannot or does not want to tell now may have it
            return False
        known = await self._known_as_state(room, gap.wanted)
        return await self._insert(others[0], room, gap, known) if known else await self._note_in_vain(gap, room_id)

    async def _note_in_vain(self, gap: Gap, room_id: str) -> bool:
        """Nobody knows more by now."""
        if gap.in_vain >= len(AGAIN_S):
            await self._call(room_id, gap, [], [], [], is_end=True)
        else:
            again_ms = self._now_ms() + int(AGAIN_S[gap.in_vain] * 1000)
            await self._call(room_id, gap, [], [], gap.wanted, is_end=False, in_vain=gap.in_vain + 1, again_ms=again_ms)
        return False

    async def _known_as_state(self, room: Room, wanted: Iterable[str]) -> list[ReceivedPdu]:
        """Those that lead back from the wanted events and are here without state, as they were told as state or auth
        events, the newest first: now it is known where they belong."""
        known: dict[str, ReceivedPdu] = {}
        waiting = set(wanted)
        while waiting and len(known) < PAGE:
            rows = await room_forks.events(self._db, sorted(waiting))
            pdus = [orjson.loads(json) for _, status, json in rows if status == room_forks.WITHOUT_STATE]
            read = [read_pdu(pdu, room.version) for pdu in pdus]
            new = [one for one in read if one.event.room_id == room.room_id][: PAGE - len(known)]
            known.update((one.event_id, one) for one in new)
            waiting = {cited for one in new for cited in one.event.prev_event_ids}.difference(known)
        return cited_first(known.values())[::-1]

    async def _connected(self, found: Sequence[ReceivedPdu], wanted: Iterable[str]) -> list[ReceivedPdu]:
        """Those that lead back from the wanted events, the newest first; what is in the timeline already ends a way."""
        by_id = {event.event_id: event for event in found}
        here = await room_forks.standings(self._db, list(by_id))
        led: dict[str, ReceivedPdu] = {}  # also by what is shown to nobody: it has a place in the order
        waiting = list(wanted)
        while waiting:
            event_id = waiting.pop()
            is_way = here.get(event_id, room_forks.WITHOUT_STATE) in (room_forks.WITHOUT_STATE, *room_forks.ASIDE)
            if is_way and event_id in by_id and event_id not in led:
                led[event_id] = by_id[event_id]
                waiting += by_id[event_id].event.prev_event_ids
        return [one for one in cited_first(led.values())[::-1] if here.get(one.event_id) not in room_forks.ASIDE]

    async def _insert(self, server: str, room: Room, gap: Gap, events: Sequence[ReceivedPdu]) -> bool:
        ids = {event.event_id for event in events}
        cited = {one for event in events for one in event.event.prev_event_ids} | set(gap.wanted)
        missing = await self._missing(room, cited - ids) - ids
        allowed = await self._allowed(server, room, events)
        state = await self._state(server, room, events[-1].event_id, allowed)
        return await self._call(room.room_id, gap, allowed, state, sorted(missing), is_end=not missing)

    async def _missing(self, room: Room, event_ids: set[str]) -> set[str]:
        """What of these is in no timeline; behind what is soft failed or rejected here, what is missing there."""
        return set(await missing_from_timeline(self._db, room.version, event_ids))

    async def _allowed(self, server: str, room: Room, events: Sequence[ReceivedPdu]) -> list[ReceivedPdu]:
        """The events that their auth events allow; the others are not shown, but what they cite may be."""
        cited = {one for event in events for one in event.event.auth_event_ids}
        if not room.version.create_in_auth_events:
            cited.add("$" + room.room_id[1:])
        known = await federated_rooms.pdus(self._db, list(cited))
        of_page = {event.event_id: event.event for event in events}
        absent = [one for one in cited if one not in known and one not in of_page][:SINGLE_EVENTS]
        if absent:
            fetched, failure = await self._fetching.events(server, room, absent)
            of_page.update((event.event_id, event.event) for event in fetched)
            await self._storing.store(room, fetched)
            if failure is not None:
                raise failure  # what cannot be judged now would never be shown
        stored = {
            event_id: Event.from_pdu(orjson.loads(json), room.version, event_id) for event_id, json in known.items()
        }
        auth = {**of_page, **stored}
        return [event for event in events if _is_allowed(event.event, auth)]

    async def _state(self, server: str, room: Room, event_id: str, events: Sequence[ReceivedPdu]) -> list[str]:
        """Of the state before the oldest event what readers need: who may read, and who the senders are."""
        try:
            ids = (await self._fetching.state_ids(server, room, event_id)).state
        except MatrixError as error:
            _log.info("{server} does not tell the state of old: {error}", server=server, error=error)
            return []
        known = await federated_rooms.known_events(self._db, ids)
        unknown = [one for one in ids if one not in known]
        if len(unknown) <= SINGLE_EVENTS:
            fetched, _ = await self._fetching.events(server, room, unknown)
            await self._storing.store(room, fetched)
        people = {event.event.sender for event in events}
        people.update(str(event.event.state_key) for event in events if event.event.type == "m.room.member")
        facts = await room_forks.state_facts(self._db, ids)
        return [one for one, _, kind, state_key, _ in facts if self._is_needed(kind, state_key, people)]

    def _is_needed(self, kind: str, state_key: str | None, people: set[str]) -> bool:
        if kind == "m.room.member":
            return state_key in people or domain_of(state_key or "") == self._server_name
        return kind in READ_STATE and state_key == ""

    async def _call(
        self,
        room_id: str,
        gap: Gap,
        events: Sequence[ReceivedPdu],
        state: list[str],
        wanted: list[str],
        *,
        is_end: bool,
        in_vain: int = 0,
        again_ms: int = 0,
    ) -> bool:
        call = InsertHistory(
            room_id=room_id,
            before_pos=gap.before_pos,
            next_sub=gap.next_sub,
            events=[Pdu(event_id=event.event_id, pdu=event.encoded) for event in events],
            state=state,
            wanted=wanted,
            is_end=is_end,
            in_vain=in_vain,
            again_ms=again_ms,
        )
        try:
            answer = await self._master.call(call)
        except MatrixError as error:
            if error.status not in (404, 409):
                raise
            return True  # others have filled of it meanwhile
        assert isinstance(answer, HistoryInserted), "a call is answered by what it names"
        return True


def _turn(servers: Sequence[str], in_vain: int) -> list[str]:
    """Whom to ask this time: the next ones, and the first again when all had their turn."""
    start = in_vain * SERVERS % max(len(servers), 1)
    return [*servers[start:], *servers[:start]][:SERVERS]


def _is_allowed(event: Event, auth: dict[str, Event]) -> bool:
    cited = [auth.get(event_id) for event_id in event.auth_event_ids]
    create = auth.get("$" + event.room_id[1:]) if not event.room_version.create_in_auth_events else None
    if any(one is None for one in cited):
        return False
    state = state_of(one for one in cited if one is not None and one.is_state)
    if create is not None:
        state[CREATE_KEY] = create
    try:
        authorise(event, state)
    except AuthError:
        return False
    return True
