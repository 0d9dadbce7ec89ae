"""Deciding on entering a room over federation: its state is taken whole from another server, at one position.

For the first time, or after years: only what differs from what is known is written. What was in memory of the room is
dropped, and read anew by the next call. Spec: server-server-api.md#joining-rooms.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from hs_common.matrix import auth_rules
from hs_common.matrix.auth_rules import AuthError, auth_state_keys, domain_of
from hs_common.matrix.errors import forbidden, not_found, unsupported_room_version
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.stripped_state import STRIPPED_STATE_KEYS, stripped
from hs_common.replication.calls import Answer
from hs_common.replication.federation_calls import AdoptRoom, IncomingEvent, ReceiveEvents
from hs_common.replication.items import EventItem, LocalMembership, StateChange
from hs_common.storage import room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.receiving import Prepared, Preparing, ReceiveEventsDecider, parsed
from hs_master.jobs.kinds import ListMembersJob, write_job
from hs_master.rooms.birth import write_room
from hs_master.rooms.head import Cause
from hs_master.rooms.needs import MEMBERS, ROOM_ID
from hs_master.rooms.waiting_redactions import MAXIMUM_TARGETS, look_again
from hs_master.step import Step

_Entry = tuple[str, str | None]  # event id, membership
_State = dict[StateKey, _Entry]


@dataclass(slots=True)
class _Loaded:
    prepared: Prepared | None = None  # the server is in the room already
    is_new: bool = True
    told: _State = field(default_factory=dict)
    before: _State = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    auth: dict[StateKey, Event] = field(default_factory=dict)
    stripped: list[Event] = field(default_factory=list)
    members: dict[str, str] = field(default_factory=dict)  # of this server → membership
    servers: set[str] = field(default_factory=set)
    causes: set[Cause] = field(default_factory=set)
    awaited: list[str] = field(default_factory=list)  # by redactions that came before the server left


class AdoptRoomDecider:
    """Decides `AdoptRoom`."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing
        self._receiving = ReceiveEventsDecider(preparing)
        self._server_name = preparing.server_name

    def queue(self, call: AdoptRoom) -> str:
        return call.room_id

    async def load(self, call: AdoptRoom, db: Queries) -> _Loaded | None:
        version = ROOM_VERSIONS.get(call.room_version)
        if version is None:
            return None
        if await room_state.server_is_in_room(db, call.room_id, self._server_name):
            return _Loaded(await self._preparing.prepare(call.room_id, [_incoming(call)], db))
        loaded = _Loaded(is_new=not await room_state.is_known(db, call.room_id))
        for event_id, status, event_type, state_key, membership in await room_forks.state_facts(db, call.state):
            if status != room_forks.REJECTED and state_key is not None:
                of_member = membership if event_type == "m.room.member" else None
                loaded.told[event_type, state_key] = (event_id, of_member)
        for event_type, state_key, event_id, membership in await room_forks.current_state(db, call.room_id):
            loaded.before[event_type, state_key] = (event_id, membership)
        join = parsed(call.event.pdu, version, call.event.event_id)
        keys = [auth_rules.CREATE_KEY, *STRIPPED_STATE_KEYS]
        keys += auth_state_keys(version, join.type, join.sender, join.state_key, join.content)
        wanted = {loaded.told[key][0]: key for key in keys if key in loaded.told}
        for event_id, _, json in await room_forks.events(db, sorted(wanted)):
            loaded.auth[wanted[event_id]] = Event.from_pdu(orjson.loads(json), version, event_id)
        loaded.members = {row[0]: row[1] for row in await room_forks.local_memberships(db, call.room_id)}
        loaded.servers = set(await room_forks.servers(db, call.room_id))
        loaded.awaited = await room_forks.came_meanwhile(db, call.room_id, MAXIMUM_TARGETS)
        await self._preparing.load_services()
        return loaded

    def decide(self, call: AdoptRoom, step: Step, loaded: _Loaded | None) -> Answer:
        version = ROOM_VERSIONS.get(call.room_version)
        if version is None or loaded is None:
            raise unsupported_room_version(call.room_version)
        if loaded.prepared is not None:
            return self._receive(call, step, loaded.prepared)
        join = parsed(call.event.pdu, version, call.event.event_id)
        if auth_rules.CREATE_KEY not in loaded.auth:
            raise not_found("The state that the other server told has no create event")
        try:
            auth_rules.authorise(join, loaded.auth)
        except AuthError as error:
            raise forbidden(f"The room's state does not allow the join: {error.reason}") from error
        create = loaded.auth[auth_rules.CREATE_KEY]
        if loaded.is_new:
            write_room(step, create, version, is_public=False)
        return _Adoption(step, call, join, loaded, self._server_name).write()

    def _receive(self, call: AdoptRoom, step: Step, prepared: Prepared) -> Answer:
        """Somebody else of this server was quicker."""
        received = self._receiving.decide(ReceiveEvents(room_id=call.room_id, events=[_incoming(call)]), step, prepared)
        verdict = received.verdicts[0]
        if verdict.status not in ("accepted", "known"):
            raise forbidden(f"The room does not allow the join: {verdict.reason}")
        return Answer(pos=received.pos)


def _incoming(call: AdoptRoom) -> IncomingEvent:
    return IncomingEvent(event_id=call.event.event_id, pdu=call.event.pdu, state=call.state)


class _Adoption:
    """One room's state, written as what changes in it."""

    def __init__(self, step: Step, call: AdoptRoom, join: Event, loaded: _Loaded, server_name: str) -> None:
        self._step = step
        self._call = call
        self._join = join
        self._loaded = loaded
        self._server_name = server_name
        self._after: _State = {**loaded.told, join.key: (join.event_id, join.membership)}
        self._memberships: list[LocalMembership] = []

    def write(self) -> Answer:
        step, join = self._step, self._join
        # The state as it was told holds from a position of its own, so that it is the state before the join.
        step.pos += 1
        before_join = step.pos
        pos = step.next_pos()
        self._write_state(self._loaded.before, self._loaded.told, before_join)
        self._write_state(self._loaded.told, {join.key: self._after[join.key]}, pos, whole=False)
        joined, left = self._write_servers(pos)
        self._write_members(pos)
        self._write_join(pos, before_join)
        self._write_services(pos)
        step.item(self._item(pos, before_join, joined, left))
        write_job(step, "", ListMembersJob(self._call.room_id, ":" + self._server_name))
        look_again(step, self._call.room_id, self._loaded.awaited)
        step.drop_room(self._call.room_id)
        return Answer(pos=pos)

    def _write_state(
        self, old: Mapping[StateKey, _Entry], new: Mapping[StateKey, _Entry], pos: int, whole: bool = True
    ) -> None:
        room_id = self._call.room_id
        for key, entry in new.items():
            if old.get(key) != entry:
                self._step.interval(tables.STATE, (room_id, *key), entry, pos, existed=key in old)
        for key in old if whole else ():
            if key not in new:
                self._step.interval(tables.STATE, (room_id, *key), None, pos)

    def _write_servers(self, pos: int) -> tuple[list[str], list[str]]:
        counts = Counter(
            domain_of(state_key)
            for (event_type, state_key), (_, membership) in self._after.items()
            if event_type == "m.room.member" and membership == "join"
        )
        joined = sorted(counts.keys() - self._loaded.servers)
        left = sorted(self._loaded.servers - counts.keys())
        for server in joined:
            self._step.interval(tables.SERVERS, (self._call.room_id, server), (), pos, existed=False)
        for server in left:
            self._step.interval(tables.SERVERS, (self._call.room_id, server), None, pos)
        return joined, left

    def _write_members(self, pos: int) -> None:
        """This server's users: whoever was invited from outside and is not in the state any more is so no longer."""
        told = {
            state_key: (event_id, membership or "leave")
            for (event_type, state_key), (event_id, membership) in self._after.items()
            if event_type == "m.room.member" and domain_of(state_key) == self._server_name
        }
        for user_id, (event_id, membership) in told.items():
            old = self._loaded.members.get(user_id)
            if user_id == self._join.state_key or old != membership:
                self._write_member(user_id, membership, event_id, pos, old is not None)
        for user_id in sorted(self._loaded.members.keys() - told.keys()):
            if self._loaded.members[user_id] in ("join", "invite", "knock"):
                self._memberships.append(LocalMembership(user_id, "leave", "", ""))
            self._step.interval(tables.MEMBERSHIP, (user_id, self._call.room_id), None, pos)

    def _write_member(self, user_id: str, membership: str, event_id: str, pos: int, existed: bool) -> None:
        sender = self._join.sender if user_id == self._join.state_key else user_id
        shown = self._stripped() if membership in ("invite", "knock") else None
        self._memberships.append(LocalMembership(user_id, membership, event_id, sender, shown))
        values = (membership, event_id, sender, shown, False)
        self._step.interval(tables.MEMBERSHIP, (user_id, self._call.room_id), values, pos, existed=existed)

    def _stripped(self) -> str:
        known = [self._loaded.auth[key] for key in STRIPPED_STATE_KEYS if key in self._loaded.auth]
        return orjson.dumps([stripped(event) for event in known]).decode()

    def _write_join(self, pos: int, before_join: int) -> None:
        join, room_id, encoded = self._join, self._call.room_id, self._call.event.pdu
        replaced = self._loaded.told.get(join.key)
        replaces = None if replaced is None else replaced[0]
        self._step.row(tables.EVENT_RECEIVED, join.event_id, room_id, pos, 0, replaces, None, encoded.decode())
        timeline = (room_id, pos, 0, join.event_id, join.sender, join.type, join.state_key, join.origin_server_ts)
        self._step.row(tables.TIMELINE, *timeline, None, 0, before_join, None, None, None)
        # The one newest event of the room is now this join, whatever was known of its branches.
        self._step.upsert(tables.FORK, (room_id,), room_id, "", 0)
        self._step.row(tables.GAP, room_id, pos, -1, " ".join(join.prev_event_ids), 0, 0)

    def _write_services(self, pos: int) -> None:
        services = self._step.services
        if not services.anyone_listens:
            return
        room_id = self._call.room_id
        interested = {*services.interested_in_room(room_id), *services.interested_in_user(self._join.sender)}
        for service_id in sorted(interested):
            if services.is_listening(service_id):
                self._step.row(tables.SERVICE_EVENT, service_id, pos, self._join.event_id, self._step.now_ms)
        causes = {(service_id, ROOM_ID) for service_id in services.interested_in_room(room_id)}
        causes |= {(service_id, MEMBERS) for service_id in services.interested_in_user(self._join.sender)}
        for service_id, why in sorted(causes):
            self._step.interval(tables.AS_ROOMS, (service_id, room_id, why), (), pos)

    def _item(self, pos: int, before_join: int, joined: list[str], left: list[str]) -> EventItem:
        join = self._join
        replaced = self._loaded.told.get(join.key)
        return EventItem(
            room_id=self._call.room_id,
            event_id=join.event_id,
            room_version=self._call.room_version,
            json=self._call.event.pdu,
            sender=join.sender,
            type=join.type,
            state_key=join.state_key,
            order_pos=pos,
            order_sub=0,
            origin_server_ts=join.origin_server_ts,
            state_pos=before_join,
            replaces_state=None if replaced is None else replaced[0],
            thread_root=None,
            rule_bits=0,
            mentions=[],
            changes=self._changes(),
            memberships=self._memberships,
            servers_joined=joined,
            servers_left=left,
            redacted=[],
            relation=None,
            device_id=None,
            txn_id=None,
        )

    def _changes(self) -> list[StateChange]:
        before = self._loaded.before
        nothing: tuple[None, None] = (None, None)
        changed = []
        for key in dict.fromkeys((*before, *self._after)):
            old, new = before.get(key, nothing), self._after.get(key, nothing)
            if old != new:
                changed.append(StateChange(*key, old[0], new[0], old[1], new[1]))
        return changed
