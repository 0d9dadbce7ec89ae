"""Station: an event that came whole, from another server or signed by one, is judged and enters its room.

The checks that need no state were made by the worker. Here: by the event's auth events, by the state before it, by the
room's current state. Nothing waits: what is looked at was prepared (`Prepared`).
Spec: server-server-api.md#checks-performed-on-receipt-of-a-pdu, #rejection, #soft-failure.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from hs_common.matrix import auth_rules, canonical_json
from hs_common.matrix.auth.auth_events import check_auth_events
from hs_common.matrix.auth_rules import CREATE_KEY, AuthError
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.policy_server import POLICY_KEY, policy_of
from hs_common.matrix.redaction import redact
from hs_common.storage import room_forks
from hs_master import tables
from hs_master.rooms.append import Place, Source, append
from hs_master.rooms.head import CurrentState, RoomDraft
from hs_master.rooms.placing import Placement, basis_of
from hs_master.step import Step

Status = Literal["accepted", "soft_failed", "rejected"]


class Judgement(NamedTuple):
    status: Status
    reason: str = ""


class StateBefore(Mapping[StateKey, Event]):
    """A room's current state but for what was different before an event, for the auth rules. Only look-ups."""

    __slots__ = ("_current", "_different")

    def __init__(self, room: RoomDraft, different: Mapping[StateKey, Event | None]) -> None:
        self._current = CurrentState(room)
        self._different = different

    def __getitem__(self, key: StateKey) -> Event:
        event = self.get(key)
        if event is None:
            raise KeyError(key)
        return event

    def get(self, key: StateKey, default: Event | None = None) -> Event | None:  # type: ignore[override]
        if key in self._different:
            found = self._different[key]
            return default if found is None else found
        return self._current.get(key, default)

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, tuple)
        return self.get(key) is not None

    def __iter__(self) -> Iterator[StateKey]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)


class AuthEvents:
    """The events that others list as their auth events, and which of them were rejected."""

    __slots__ = ("events", "rejected")

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.rejected: set[str] = set()

    def add(self, event: Event, is_rejected: bool) -> None:
        self.events[event.event_id] = event
        if is_rejected:
            self.rejected.add(event.event_id)

    def judge(self, event: Event) -> str | None:
        """Why the event's own auth events do not allow it; None: they do."""
        try:
            check_auth_events(event, self.events, self.rejected)
            state = {found.key: found for found in map(self.events.get, event.auth_event_ids) if found is not None}
            if not event.room_version.create_in_auth_events:
                create = self.events.get("$" + event.room_id[1:])
                if create is not None:
                    state[CREATE_KEY] = create
            auth_rules.authorise(event, state)
        except AuthError as error:
            return error.reason
        return None


def judge(room: RoomDraft, event: Event, auth: AuthEvents, placement: Placement | None) -> Judgement:
    """`placement` is None for an event that simply continues its room."""
    before = {} if placement is None else placement.before
    # 4. Passes authorization rules based on the event's auth events, otherwise it is rejected.
    reason = auth.judge(event)
    if reason is not None:
        return Judgement("rejected", f"by its auth events: {reason}")
    try:
        # 5. Passes authorization rules based on the state before the event, otherwise it is rejected.
        auth_rules.authorise(event, StateBefore(room, before))
    except AuthError as error:
        return Judgement("rejected", f"by the state before it: {error.reason}")
    if placement is not None and before:
        try:
            # 6. Passes authorization rules based on the current state of the room, otherwise it is soft failed.
            auth_rules.authorise(event, StateBefore(room, placement.current))
        except AuthError as error:
            return Judgement("soft_failed", f"by the room's current state: {error.reason}")
    # 7. Is validated by the policy server, if the room uses one in its current state, otherwise it is soft failed.
    if not _is_recommended(room, event):
        return Judgement("soft_failed", "the room's policy server has not signed it")
    return Judgement("accepted")


def _is_recommended(room: RoomDraft, event: Event) -> bool:
    """Spec: #validating-policy-server-signatures."""
    setting = room.entry(POLICY_KEY)
    policy = None if setting is None else policy_of(setting.content)
    if policy is None or not room.server_joined(policy.server):
        return True
    return (event.is_state and event.key == POLICY_KEY) or policy.has_signed(event.pdu, room.version)


def place_of(step: Step, room: RoomDraft, event: Event, placement: Placement, pos: int) -> Place:
    """The place of an event that forks its room; writes its delta, named `pos`, if there is none yet."""
    assert placement.basis == basis_of(room), "the room has moved on since the event was placed"
    columns = placement.columns
    if columns is None:
        columns = room.state_pos, pos
        for (event_type, state_key), one in placement.before.items():
            step.row(tables.STATE_DELTA, pos, event_type, state_key, None if one is None else one.event_id)
    replaces = StateBefore(room, placement.before).get(event.key) if event.is_state else None
    return Place(columns[0], columns[1], placement.changes, replaces, placement.extremities)


def keep_aside(step: Step, room: RoomDraft, event: Event, encoded: bytes, status: Status, place: Place | None) -> None:
    """A rejected or soft failed event: others may cite it, nobody is shown it."""
    step.pos += 1  # it has a position like any other event, though no item tells of it
    code = room_forks.REJECTED if status == "rejected" else room_forks.SOFT_FAILED
    step.row(tables.EVENT_RECEIVED, event.event_id, event.room_id, step.pos, code, None, None, encoded.decode())
    state_pos, delta_id = (room.state_pos, None) if place is None else (place.state_pos, place.delta_id)
    step.row(tables.EVENT_STATE, event.event_id, event.room_id, state_pos, delta_id)


def enter(
    step: Step,
    room: RoomDraft,
    event: Event,
    encoded: bytes,
    server_name: str,
    source: Source,
    place: Place | None,
    held: Event | None,
) -> None:
    """An accepted event enters the timeline. `held`: the redaction of it that came first and counts."""
    if held is not None:
        pdu = redact(dict(event.pdu), room.version)
        encoded = canonical_json.encode(pdu)
        source = Source(
            source.device_id,
            source.txn_id,
            is_received=True,
            introduced=source.introduced,
            redacted_by=held.event_id,
        )
        event = Event.from_pdu(pdu, room.version, event.event_id)
        step.row(tables.HELD_REDACTION_END, event.event_id)
    append(step, room, event, encoded, server_name, source, place)
