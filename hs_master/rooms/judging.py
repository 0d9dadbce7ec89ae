"""Whether the authorisation rules allow an event that came whole: by its auth events, by the state before it, and by
the room's current state. Pure; what is looked at is in memory.

Spec: server-server-api.md#checks-performed-on-receipt-of-a-pdu, #rejection, #soft-failure.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from hs_common.matrix import auth_rules
from hs_common.matrix.auth.auth_events import check_auth_events
from hs_common.matrix.auth_rules import CREATE_KEY, AuthError
from hs_common.matrix.event import Event, StateKey
from hs_master.rooms.head import CurrentState, Held

Differences = Mapping[StateKey, "Event | None"]
"""A state, as what of it is not as in the room's current state."""

Status = Literal["accepted", "soft_failed", "rejected"]


class Judgement(NamedTuple):
    status: Status
    reason: str = ""


ACCEPTED = Judgement("accepted")


class StateBefore(Mapping[StateKey, Event]):
    """A room's current state but for what was different before an event, for the auth rules. Only look-ups."""

    __slots__ = ("_current", "_different")

    def __init__(self, room: Held, different: Differences) -> None:
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

    def copy(self) -> "AuthEvents":
        """Another, to which more can be added."""
        other = AuthEvents()
        other.events, other.rejected = dict(self.events), set(self.rejected)
        return other

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


def judge_by_own_past(room: Held, event: Event, auth: AuthEvents, before: Differences) -> Judgement:
    """By what nobody but the event itself has chosen: its auth events, and the state before it."""
    # 4. Passes authorization rules based on the event's auth events, otherwise it is rejected.
    reason = auth.judge(event)
    if reason is not None:
        return Judgement("rejected", f"by its auth events: {reason}")
    try:
        # 5. Passes authorization rules based on the state before the event, otherwise it is rejected.
        auth_rules.authorise(event, StateBefore(room, before))
    except AuthError as error:
        return Judgement("rejected", f"by the state before it: {error.reason}")
    return ACCEPTED


def judge_by_present(room: Held, event: Event, before: Differences, current: Differences) -> Judgement:
    """By the room's current state; `current` is what that is taken to be, where it is not as it is."""
    if before:
        try:
            # 6. Passes authorization rules based on the current state of the room, otherwise it is soft failed.
            auth_rules.authorise(event, StateBefore(room, current))
        except AuthError as error:
            return Judgement("soft_failed", f"by the room's current state: {error.reason}")
    return ACCEPTED
