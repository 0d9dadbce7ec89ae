"""Deciding on events that come whole: of other servers, and our own that others have signed.

A call is taken alone: what its events cite is read first, and the first of them that forks the room is placed. What
follows it is taken too where that is plain, else answered `later`, and comes again in the next call.
Spec: server-server-api.md#receiving-transactions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import orjson

from hs_common.matrix import auth_rules, limits
from hs_common.matrix.errors import MatrixError, forbidden, not_found
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.policy_server import POLICY_KEY
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.stripped_state import STRIPPED_STATE_KEYS
from hs_common.reading.missing_events import missing_from_timeline
from hs_common.replication.calls import AppendedEvents, AppendReady
from hs_common.replication.federation_calls import IncomingEvent, Received, ReceiveEvents, Verdict
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.rooms import references
from hs_master.rooms.append import Place, Source
from hs_master.rooms.arrivals import ArrivalReads
from hs_master.rooms.head import NotLoaded, RoomDraft, RoomHead
from hs_master.rooms.judging import AuthEvents, Judgement
from hs_master.rooms.needs import Loader, Needs
from hs_master.rooms.placing import Placement, Placer, basis_of
from hs_master.rooms.receive import enter, judge, keep_aside, place_of
from hs_master.rooms.waiting_redactions import MAXIMUM_HELD, Held, look_again, redacted_by, wait
from hs_master.step import Knowledge, Step

# Events of one call: one item of a batch stays small.
MAXIMUM_EVENTS: Final = 200


@lru_cache(maxsize=1024)
def parsed(pdu: bytes, version: RoomVersion, event_id: str) -> Event:
    """The event; a call's events are looked at more than once."""
    return Event.from_pdu(orjson.loads(pdu), version, event_id)


@dataclass(slots=True)
class Prepared:
    """What was read for a call."""

    is_known_room: bool
    known: set[str] = field(default_factory=set)
    auth: AuthEvents = field(default_factory=AuthEvents)
    placements: dict[str, Placement] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)  # by event, what it leads back to that is not here
    held: dict[str, list[Held]] = field(default_factory=dict)  # by event, redactions of it that wait
    redacted: dict[str, str] = field(default_factory=dict)  # by event that is here as mere state, what redacted it

    def redacted_by(self, room: RoomDraft, event: Event) -> str | None:
        """What redacted an event before it came for the timeline."""
        return self.redacted.get(event.event_id) or redacted_by(room, event, self.held.get(event.event_id, ()))


class Preparing:
    """Reads what receiving events needs."""

    def __init__(self, knowledge: Knowledge, loader: Loader, placer: Placer, server_name: str) -> None:
        self._knowledge = knowledge
        self._loader = loader
        self._placer = placer
        self._arrivals = ArrivalReads()
        self.server_name = server_name

    async def load_services(self) -> None:
        """Read the application services, if that was not done yet."""
        await self._loader.load_services()

    async def load(self, room_id: str, needs: Callable[[Knowledge], Sequence[Needs]]) -> None:
        """Read what deciding on an event of ours looks at. `needs` may ask for more once it sees what it asked for."""
        await self._loader.load_services()
        await self._loader.load_heads([room_id])
        for _ in range(2):
            await self._loader.load(needs(self._knowledge))

    async def prepare(self, room_id: str, incoming: Sequence[IncomingEvent], db: Queries) -> Prepared:
        """Raises DatabaseError."""
        await self._loader.load_services()
        await self._loader.load_heads([room_id])
        head = self._knowledge.heads.get(room_id)
        if head is None:
            return Prepared(False)
        events = [parsed(one.pdu, head.version, one.event_id) for one in incoming]
        ready = Prepared(True)
        arrivals = await self._arrivals.of(db, [event.event_id for event in events])
        for event in events:
            arrival = arrivals.get(event.event_id)
            if arrival is None:
                continue
            # The create event of a room that was joined later is here without state, and can never get one.
            is_first = arrival.status is not None and not event.prev_event_ids
            if is_first or arrival.status not in (None, room_forks.WITHOUT_STATE):
                ready.known.add(event.event_id)
            if arrival.redacted_by is not None:
                ready.redacted[event.event_id] = arrival.redacted_by
            for redaction_id, json, by_power in arrival.redactions[:MAXIMUM_HELD]:
                redaction = Event.from_pdu(orjson.loads(json), head.version, redaction_id)
                ready.held.setdefault(event.event_id, []).append((redaction, by_power))
        await self._read_auth_events(head, events, ready, db)
        await self._place(head, events, incoming, ready, db)
        await self._load_needs(head, events, ready)
        return ready

    async def prepare_redactions(self, room_id: str, redactions: Sequence[Event]) -> bool:
        """Read what showing redactions that waited looks at; whether the room is known. Raises DatabaseError."""
        await self._loader.load_services()
        await self._loader.load_heads([room_id])
        head = self._knowledge.heads.get(room_id)
        if head is None:
            return False
        for redaction in redactions:
            if redaction.redacts is not None and self._knowledge.events.get(redaction.redacts) is None:
                self._knowledge.events.pop(redaction.redacts, None)  # it was looked for in vain, and has come since
        await self._load_needs(head, redactions, Prepared(True))
        return True

    async def _load_needs(self, head: RoomHead, events: Sequence[Event], ready: Prepared) -> None:
        await self._loader.load([self._needs(head, event, ready) for event in events])
        # What a redaction names is known only now, and where it stands in the state with it.
        await self._loader.load([self._needs(head, event, ready) for event in events if event.redacts is not None])

    async def _read_auth_events(self, head: RoomHead, events: Sequence[Event], ready: Prepared, db: Queries) -> None:
        wanted = {auth_id for event in events for auth_id in event.auth_event_ids}
        if not head.version.create_in_auth_events:
            wanted.add("$" + head.room_id[1:])
        # As a rule they are the room's current state, which is in memory.
        for key in {key for event in events for key in _auth_keys(head, event)}:
            current = head.state.get(key)
            if current is not None and current.event_id in wanted:
                wanted.remove(current.event_id)
                ready.auth.add(current, is_rejected=False)
        if not wanted:
            return
        for event_id, status, json in await room_forks.events(db, sorted(wanted)):
            event = Event.from_pdu(orjson.loads(json), head.version, event_id)
            ready.auth.add(event, status == room_forks.REJECTED)

    async def _place(
        self,
        head: RoomHead,
        events: Sequence[Event],
        incoming: Sequence[IncomingEvent],
        ready: Prepared,
        db: Queries,
    ) -> None:
        """The first event that does not simply continue the room."""
        extremities = set(head.extremities)
        for event, told in zip(events, incoming, strict=True):
            state = told.state
            if event.event_id in ready.known:
                continue
            if set(event.prev_event_ids) == extremities and state is None:
                extremities = {event.event_id}
                continue
            if extremities != set(head.extremities) or not event.prev_event_ids:
                return  # it builds on what is only just being received
            if any(auth_id not in ready.auth.events for auth_id in event.auth_event_ids):
                # Branches cannot be resolved with an event whose auth chain is not here.
                ready.missing[event.event_id] = [] if state is not None else await self._placer.missing(head, event)
                continue
            await self._loader.load([self._needs(head, event, ready)])
            try:
                placed = await self._placer.place(head, event, ready.auth, state, has_holes=told.has_holes)
            except NotLoaded:
                return  # the room has moved on meanwhile: it is placed anew
            if isinstance(placed, Placement):
                ready.absent[event.event_id] = await _absent(db, event, placed, is_told=state is not None)
                ready.placements[event.event_id] = placed
                return
            ready.missing[event.event_id] = placed.missing

    def _needs(self, head: RoomHead, event: Event, ready: Prepared) -> Needs:
        keys: list[StateKey] = [POLICY_KEY, *STRIPPED_STATE_KEYS, *_auth_keys(head, event)]
        if event.is_state:
            keys.append(event.key)
        mentioned = references.local_mentions(event.content, self.server_name)
        keys += (("m.room.member", user_id) for user_id in mentioned)
        placement = ready.placements.get(event.event_id)
        if placement is not None:
            keys += placement.changes
            keys += (
                ("m.room.member", changed.sender)
                for key, changed in placement.changes.items()
                if changed is not None and key[0] == "m.room.member" and changed.membership in ("invite", "knock")
            )
        relation = references.relation_of(event.content)
        cited = [] if relation is None else [relation.parent_id]
        for redacts in filter(None, (event.redacts, event.event_id if event.event_id in ready.held else None)):
            cited.append(redacts)
            target = self._knowledge.events.get(redacts)
            if target is not None and target.event.is_state:
                keys.append(target.event.key)
        return Needs(head.room_id, keys, cited)


async def _absent(db: Queries, event: Event, placed: Placement, *, is_told: bool) -> list[str]:
    """What is missing from the timeline just before an event: of what it cites, if it was told the state before it, and
    before rejected and soft failed ones that it cites. Nobody is shown these, so a gap before them is one here."""
    cited = event.prev_event_ids if is_told else [one.event_id for one in placed.kept_aside]
    return [*await missing_from_timeline(db, event.room_version, cited)][: limits.MAX_PREV_EVENTS]


def _auth_keys(head: RoomHead, event: Event) -> list[StateKey]:
    """Of the state, what the rules look at."""
    keys = auth_rules.auth_state_keys(head.version, event.type, event.sender, event.state_key, event.content)
    return [auth_rules.CREATE_KEY, auth_rules.POWER_LEVELS_KEY, *keys]


class ReceiveEventsDecider:
    """Decides `ReceiveEvents`."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing

    def queue(self, call: ReceiveEvents) -> str:
        return call.room_id

    async def load(self, call: ReceiveEvents, db: Queries) -> Prepared:
        return await self._preparing.prepare(call.room_id, call.events[:MAXIMUM_EVENTS], db)

    def decide(self, call: ReceiveEvents, step: Step, loaded: Prepared) -> Received:
        room = step.room(call.room_id) if loaded.is_known_room else None
        server_name = self._preparing.server_name
        if room is None or not room.server_joined(server_name):
            raise not_found(f"Nobody of this server is in the room {call.room_id}")
        receiving = _Receiving(step, room, loaded, server_name, call.introduced)
        verdicts = [receiving.take(one) for one in call.events[:MAXIMUM_EVENTS]]
        verdicts += (Verdict(event_id=one.event_id, status="later") for one in call.events[MAXIMUM_EVENTS:])
        look_again(step, call.room_id, receiving.awaited)
        return Received(pos=step.pos, verdicts=verdicts)


class _Receiving:
    """One call's events, one after the other."""

    def __init__(self, step: Step, room: RoomDraft, ready: Prepared, server_name: str, introduced: bool) -> None:
        self._step = step
        self._room = room
        self._ready = ready
        self._auth = ready.auth.copy()  # to which what is taken is added
        self._server_name = server_name
        self._introduced = introduced
        self._taken: set[str] = set()
        self._later: set[str] = set()
        self._is_first = True  # of the events that are new
        self.awaited: list[str] = []  # what redactions wait for, or waited
        self._branch: Placed | None = None  # the event that forked the room, or the last that continued its branch

    def take(self, incoming: IncomingEvent) -> Verdict:
        event_id = incoming.event_id
        if event_id in self._ready.known or event_id in self._taken:
            return Verdict(event_id=event_id, status="known")
        verdict = self._take(incoming)
        self._is_first = False
        if verdict.status == "later":
            self._later.add(event_id)
        return verdict

    def _take(self, incoming: IncomingEvent) -> Verdict:
        event_id = incoming.event_id
        event = parsed(incoming.pdu, self._room.version, event_id)
        if not self._later.isdisjoint((*event.prev_event_ids, *event.auth_event_ids)):
            return Verdict(event_id=event_id, status="later")
        missing = self._ready.missing.get(event_id, [])
        missing_auth = [auth_id for auth_id in event.auth_event_ids if auth_id not in self._auth.events]
        if missing or missing_auth:
            return Verdict(event_id=event_id, status="missing", missing_prev=missing, missing_auth=missing_auth)
        if not event.prev_event_ids:
            return self._reject(event, incoming.pdu, "it cites no event before it")
        placed = self._place(event, incoming.state is not None)
        if placed is None:
            return Verdict(event_id=event_id, status="later")
        return self._decide(event, incoming.pdu, placed)

    def _place(self, event: Event, has_state: bool) -> "Placed | None":
        room = self._room
        if set(event.prev_event_ids) == set(room.extremities) and not has_state:
            return Placed(event, None, None)
        placement = self._ready.placements.get(event.event_id)
        if placement is not None and placement.basis == basis_of(room):
            place = place_of(self._step, room, event, placement, self._step.next_pos())
            return Placed(event, place, placement)
        if self._is_first:
            raise NotLoaded("the room has moved on since the event was placed")
        return self._place_on_branch(event)

    def _place_on_branch(self, event: Event) -> "Placed | None":
        """An event that is no state on top of the branch that this call has begun: the state before it is the same."""
        branch = self._branch
        if branch is None or branch.place is None or event.is_state or branch.event.is_state:
            return None
        if event.prev_event_ids != (branch.event.event_id,) or branch.place.changes:
            return None
        others = tuple(one for one in self._room.extremities if one != branch.event.event_id)
        place = branch.place._replace(extremities=(*others, event.event_id))
        followed = None if branch.placement is None else branch.placement._replace(judgement=None)
        return Placed(event, place, followed)

    def _decide(self, event: Event, encoded: bytes, placed: "Placed") -> Verdict:
        room = self._room
        absent = self._ready.absent.get(event.event_id, [])
        judgement = judge(room, event, self._auth, placed.placement)
        if judgement.status == "accepted" and references.is_vain(self._step, room, event):
            judgement = Judgement("soft_failed", "its sender may not redact that event")
        if judgement.status == "accepted" and references.waits(self._step, event):
            before = {} if placed.placement is None else placed.placement.before
            wait(self._step, room, event, encoded, placed.place, before, absent)
            self.awaited.append(str(event.redacts))
        elif judgement.status == "accepted":
            self._note_if_awaited(event)
            source, pos = Source(is_received=True, introduced=self._introduced), self._step.next_pos()
            redaction = self._ready.redacted_by(room, event)
            enter(self._step, self._room, event, encoded, self._server_name, source, placed.place, redaction)
            if absent:
                self._step.row(tables.GAP, event.room_id, pos, -1, " ".join(absent), 0, 0)
            self._branch = placed
        else:
            keep_aside(self._step, self._room, event, encoded, judgement.status, placed.place, absent)
        self._taken.add(event.event_id)
        self._auth.add(event, judgement.status == "rejected")
        return Verdict(event_id=event.event_id, status=judgement.status, reason=judgement.reason)

    def _note_if_awaited(self, event: Event) -> None:
        if event.event_id in self._ready.held or self._step.was_missed(event.event_id):
            self.awaited.append(event.event_id)

    def _reject(self, event: Event, encoded: bytes, reason: str) -> Verdict:
        keep_aside(self._step, self._room, event, encoded, "rejected", None)
        self._taken.add(event.event_id)
        self._auth.add(event, True)
        return Verdict(event_id=event.event_id, status="rejected", reason=reason)


@dataclass(frozen=True, slots=True)
class Placed:
    """An event with its place; None where it simply continues its room."""

    event: Event
    place: Place | None
    placement: Placement | None


class AppendReadyDecider:
    """Decides `AppendReady`: an event composed here earlier, which others have signed meanwhile.

    If the room has moved on since, the event forks it. One of ours that the current state no longer allows is refused,
    never stored.
    """

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing

    def queue(self, call: AppendReady) -> str:
        return call.room_id

    async def load(self, call: AppendReady, db: Queries) -> tuple[IncomingEvent, Prepared] | None:
        version = await room_state.room_version(db, call.room_id)
        if version is None:
            return None
        event = Event.from_pdu(orjson.loads(call.pdu), ROOM_VERSIONS[version])
        incoming = IncomingEvent(event_id=event.event_id, pdu=call.pdu)
        return incoming, await self._preparing.prepare(call.room_id, [incoming], db)

    def decide(self, call: AppendReady, step: Step, loaded: tuple[IncomingEvent, Prepared] | None) -> AppendedEvents:
        room = step.room(call.room_id) if loaded is not None and loaded[1].is_known_room else None
        if loaded is None or room is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        if len(call.pdu) > limits.MAX_EVENT_BYTES:
            raise MatrixError(413, "M_TOO_LARGE", "With its signatures the event is too large")
        incoming, ready = loaded
        if incoming.event_id in ready.known:
            return AppendedEvents(pos=step.pos, event_ids=[incoming.event_id])
        event = parsed(incoming.pdu, room.version, incoming.event_id)
        placement = ready.placements.get(event.event_id)
        place = None
        if set(event.prev_event_ids) != set(room.extremities):
            if placement is None or placement.basis != basis_of(room):
                raise NotLoaded("the room has moved on since the event was placed")
            place = place_of(step, room, event, placement, step.next_pos())
        judgement = judge(room, event, ready.auth, placement if place is not None else None)
        if judgement.status != "accepted":
            raise forbidden(f"You may not do this any more: {judgement.reason}")
        source = Source(call.device_id, call.txn_id, is_received=True)
        enter(step, room, event, call.pdu, self._preparing.server_name, source, place, ready.redacted_by(room, event))
        look_again(step, call.room_id, ready.held)
        return AppendedEvents(pos=step.pos, event_ids=[event.event_id])
