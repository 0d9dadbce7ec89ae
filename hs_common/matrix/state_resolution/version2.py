"""State resolution of room versions 2 to 11, and version 2.1 of room version 12.

Spec: rooms/v2 and rooms/v12, #algorithm.
"""

from collections.abc import Set as AbstractSet

from hs_common.matrix.auth_rules import POWER_LEVELS_KEY
from hs_common.matrix.event import Event, StateMap
from hs_common.matrix.room_versions import RoomVersion, StateResolution
from hs_common.matrix.state_resolution.auth_checks import apply_allowed
from hs_common.matrix.state_resolution.auth_graph import AuthGraph
from hs_common.matrix.state_resolution.conflict import Split, full_conflicted_set, lowest
from hs_common.matrix.state_resolution.ordering import mainline_ordering, reverse_topological_power_ordering


def resolve_version2(room_version: RoomVersion, states: Split, graph: AuthGraph) -> StateMap:
    """The resolution of some states that do not agree. Raises MissingEvents."""
    is_2_1 = room_version.state_resolution is StateResolution.V2_1
    full = full_conflicted_set(states, graph, with_subgraph=is_2_1)
    # 1. Select the set X of all power events that appear in the full conflicted set. For each such power event P,
    #    enlarge X by adding the events in the auth chain of P which also belong to the full conflicted set. Sort X into
    #    a list using the reverse topological power ordering.
    power_events = _power_events_with_chains(full, graph)
    # 2. Apply the iterative auth checks algorithm, starting from the unconflicted state map, to the list of events from
    #    the previous step to get a partially resolved state. (12: starting from an empty state map.)
    resolved = {} if is_2_1 else dict(states.unconflicted)
    apply_allowed(reverse_topological_power_ordering(power_events, graph), resolved, graph)
    # 3. Take all remaining events that weren't picked in step 1 and order them by the mainline ordering based on the
    #    power level in the partially resolved state obtained in step 2.
    others = mainline_ordering(full - power_events, resolved.get(POWER_LEVELS_KEY), graph)
    # 4. Apply the iterative auth checks algorithm on the partial resolved state and the list of events from the
    #    previous step.
    apply_allowed(others, resolved, graph)
    # 5. Update the result by replacing any event with the event with the same key from the unconflicted state map, if
    #    such an event exists, to get the final resolved state.
    return resolved | states.unconflicted


def _power_events_with_chains(full: frozenset[str], graph: AuthGraph) -> AbstractSet[str]:
    power_events = [event.event_id for event in graph.require(full) if is_power_event(event)]
    return full.intersection(graph.chain(power_events, lowest(full, graph)))


def is_power_event(event: Event) -> bool:
    """Whether a state event might remove someone's ability to do something in the room."""
    # A state event with type m.room.power_levels or m.room.join_rules, or a state event with type m.room.member where
    # the membership is leave or ban and the sender does not match the state_key.
    if event.type == "m.room.member":
        return event.membership in ("leave", "ban") and event.sender != event.state_key
    return event.type in ("m.room.power_levels", "m.room.join_rules")
