"""The iterative auth checks: which of some ordered events may stand.

Spec: rooms/v2, #definitions (iterative auth checks).
"""

from collections.abc import Sequence

from hs_common.matrix.auth_rules import CREATE_KEY, AuthError, auth_state_keys, authorise
from hs_common.matrix.event import Event, StateKey, StateMap
from hs_common.matrix.state_resolution.auth_graph import AuthGraph


def apply_allowed(event_ids: Sequence[str], state: StateMap, graph: AuthGraph) -> None:
    """Put each event into `state`, in order, that is allowed by what the state holds then; leave out the others.

    If a place that is required for checking the authorisation rules is not in the state, then the appropriate event
    from the event's auth_events is used if that was not rejected. Raises MissingEvents, before the state is changed.
    """
    events = graph.require(event_ids)
    # What is looked at later is of these, of their auth events, or of the state now.
    graph.require({state[key] for event in events for key in required_keys(event) if key in state})
    auth_states = [graph.accepted_auth_state(event) for event in events]
    for event, auth_state in zip(events, auth_states, strict=True):
        current = {key: graph.event(state[key]) for key in required_keys(event) if key in state}
        if is_allowed(event, auth_state | current):
            state[event.key] = event.event_id


def required_keys(event: Event) -> list[StateKey]:
    """The places of the state that decide whether the event is allowed."""
    keys = auth_state_keys(event.room_version, event.type, event.sender, event.state_key, event.content)
    return keys if CREATE_KEY in keys else [CREATE_KEY, *keys]


def is_allowed(event: Event, state: dict[StateKey, Event]) -> bool:
    """Whether the authorisation rules allow the event in this state."""
    try:
        authorise(event, state)
    except AuthError:
        return False
    return True
