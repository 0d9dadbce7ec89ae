"""Deciding on events that are kept without state: auth chains, and the state of rooms about to be entered.

They are judged by their auth events alone, nobody is shown them, and no item tells of them. What was redacted here
before it came is kept so.
Spec: server-server-api.md#checks-performed-on-receipt-of-a-pdu (4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from hs_common.matrix.errors import MatrixError, unsupported_room_version
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.federation_calls import StoredEvents, StoreEvents, SweepStoredEvents, SweptEvents
from hs_common.storage import federated_rooms, room_forks
from hs_common.storage.queries import Queries
from hs_master import purge_tables, tables
from hs_master.rooms import references
from hs_master.rooms.judging import AuthEvents
from hs_master.rooms.waiting_redactions import MAXIMUM_HELD, Held, look_again
from hs_master.step import Step

MAXIMUM_EVENTS: Final = 200


@dataclass(slots=True)
class _Loaded:
    known: dict[str, int] = field(default_factory=dict)  # event id → status
    held: dict[str, list[Held]] = field(default_factory=dict)  # by event, redactions of it that wait
    auth: AuthEvents = field(default_factory=AuthEvents)


class StoreEventsDecider:
    """Decides `StoreEvents`."""

    def queue(self, call: StoreEvents) -> str:
        # Not the room's own: whoever stores events has nothing of them in the room yet.
        return f"store {call.room_id}"

    async def load(self, call: StoreEvents, db: Queries) -> _Loaded | None:
        version = ROOM_VERSIONS.get(call.room_version)
        if version is None or len(call.events) > MAXIMUM_EVENTS:
            return None
        loaded = _Loaded()
        rows = await room_forks.arrivals(db, [pdu.event_id for pdu in call.events])
        for event_id, status, redaction_id, json, by_power in rows:
            if status is not None:
                loaded.known[event_id] = status
            elif len(held := loaded.held.setdefault(event_id, [])) < MAXIMUM_HELD:
                held.append((Event.from_pdu(orjson.loads(json), version, redaction_id), by_power))
        cited = {auth_id for event in _events(call, version) for auth_id in event.judged_by_ids}
        for event_id, status, json in await room_forks.events(db, sorted(cited)):
            event = Event.from_pdu(orjson.loads(json), version, event_id)
            loaded.auth.add(event, status == room_forks.REJECTED)
        return loaded

    def decide(self, call: StoreEvents, step: Step, loaded: _Loaded | None) -> StoredEvents:
        version = ROOM_VERSIONS.get(call.room_version)
        if version is None:
            raise unsupported_room_version(call.room_version)
        if loaded is None:
            raise MatrixError(400, "M_TOO_LARGE", f"At most {MAXIMUM_EVENTS} events fit into one call")
        rejected: list[str] = []
        missing: set[str] = set()
        awaited: list[str] = []
        auth = loaded.auth.copy()  # to which what is stored is added
        for pdu, event in zip(call.events, _events(call, version), strict=True):
            if event.event_id in loaded.known:
                if loaded.known[event.event_id] == room_forks.REJECTED:
                    rejected.append(event.event_id)
                continue
            is_foreign = event.room_id != call.room_id
            absent = [] if is_foreign else [one for one in event.judged_by_ids if one not in auth.events]
            if absent:
                missing.update(absent)
                continue
            is_rejected = is_foreign or auth.judge(event) is not None
            if is_rejected:
                rejected.append(event.event_id)
            auth.add(event, is_rejected)
            if not is_rejected and (event.event_id in loaded.held or step.was_missed(event.event_id)):
                awaited.append(event.event_id)
            redactions = loaded.held.get(event.event_id, [])
            _write(step, call.room_id, event, pdu.pdu, is_rejected, redactions)
        look_again(step, call.room_id, awaited)
        return StoredEvents(pos=step.pos, rejected=rejected, missing=sorted(missing))


class SweepStoredEventsDecider:
    """Decides `SweepStoredEvents`."""

    def queue(self, call: SweepStoredEvents) -> str:
        # That of `StoreEvents`: what another attempt stores comes before this looks, or after it is done.
        return f"store {call.room_id}"

    async def load(self, call: SweepStoredEvents, db: Queries) -> int:
        return await federated_rooms.left_behind(db, call.room_id, call.attempt, purge_tables.SWEPT_AT_ONCE + 1)

    def decide(self, call: SweepStoredEvents, step: Step, loaded: int) -> SweptEvents:
        if loaded:
            step.row(purge_tables.SWEEP_STORED, call.room_id)
        return SweptEvents(pos=step.pos, is_all=loaded <= purge_tables.SWEPT_AT_ONCE)


def _events(call: StoreEvents, version: RoomVersion) -> list[Event]:
    return [Event.from_pdu(orjson.loads(pdu.pdu), version, pdu.event_id) for pdu in call.events]


def _write(
    step: Step, room_id: str, event: Event, encoded: bytes, is_rejected: bool, redactions: Sequence[Held]
) -> None:
    step.pos += 1  # a position like any other event's
    status = room_forks.REJECTED if is_rejected else room_forks.WITHOUT_STATE
    by = None if is_rejected else _redacted_by(event, redactions)
    if by is not None:
        _, encoded = references.redacted(event)
    step.row(tables.EVENT_STORED, event.event_id, room_id, step.pos, status, None, by, encoded.decode())


def _redacted_by(event: Event, redactions: Sequence[Held]) -> str | None:
    """What of the waiting redactions counts, for all that is known without the room."""
    known = ((one, bool(by_power)) for one, by_power in redactions)
    return next((one.event_id for one, by_power in known if references.counts(one, by_power, event)), None)
