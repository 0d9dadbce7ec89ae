"""The few things that the rules ask of the room's state."""

from collections.abc import Iterable, Mapping
from typing import Final

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.power_levels import PowerLevels

CREATE_KEY: Final[StateKey] = ("m.room.create", "")
POWER_LEVELS_KEY: Final[StateKey] = ("m.room.power_levels", "")
JOIN_RULES_KEY: Final[StateKey] = ("m.room.join_rules", "")

# State as the rules see it. Only the places named by `auth_state_keys`, and the create event, are looked at.
AuthState = Mapping[StateKey, Event]


def state_of(events: Iterable[Event]) -> dict[StateKey, Event]:
    """The state that state events make up, for instance the auth events that an event lists."""
    return {event.key: event for event in events}


def membership_of(state: AuthState, user_id: str) -> str | None:
    """A user's membership; `leave` for one who never had any, None for content that names none."""
    event = state.get(("m.room.member", user_id))
    return "leave" if event is None else event.membership


def join_rule_of(state: AuthState) -> object:
    """The room's join rule; a room without one is open to the invited only."""
    event = state.get(JOIN_RULES_KEY)
    return "invite" if event is None else event.content.get("join_rule")


def power_levels_of(state: AuthState) -> PowerLevels:
    """The room's levels."""
    return PowerLevels(state[CREATE_KEY], state.get(POWER_LEVELS_KEY))


def domain_of(identifier: str) -> str:
    """The server name in a user id, a room id or an event id; empty if there is none."""
    return identifier.partition(":")[2]
