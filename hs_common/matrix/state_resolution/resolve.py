"""The door of this package.

Spec: rooms/v1, v2 and v12, #state-resolution.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from hs_common.matrix.event import Event, StateMap
from hs_common.matrix.room_versions import RoomVersion, StateResolution
from hs_common.matrix.state_resolution.auth_graph import AuthGraph, Missing, MissingEvents, auth_depths
from hs_common.matrix.state_resolution.conflict import split
from hs_common.matrix.state_resolution.version1 import resolve_version1
from hs_common.matrix.state_resolution.version2 import resolve_version2


def resolve(
    room_version: RoomVersion,
    state_sets: Sequence[StateMap],
    events: Mapping[str, Event],
    *,
    depths: Mapping[str, int] | None = None,
    rejected: AbstractSet[str] = frozenset(),
) -> StateMap | Missing:
    """The state that the states after an event's prev events (at least one) make together.

    `events` holds what is known of the room by event id, `rejected` the ids of those among them that were rejected. The
    answer is Missing as long as something is needed that they lack; an event that cannot be had at all is for the
    caller to decide about. Agreeing states need no events.

    `depths` holds auth depths by event id, of all events in the states and of auth events. With them only the part of
    the graph that the states do not share is looked at; without them whole auth chains are.
    """
    assert state_sets, "there is no state of nothing"
    states = split(state_sets)
    if not any(states.remainders):
        return states.unconflicted
    try:
        if room_version.state_resolution is StateResolution.V1:
            return resolve_version1(states, AuthGraph(events, {}, rejected))
        if depths is None:
            depths = auth_depths({event_id for state in state_sets for event_id in state.values()}, events)
        return resolve_version2(room_version, states, AuthGraph(events, depths, rejected))
    except MissingEvents as error:
        return Missing(error.event_ids)
