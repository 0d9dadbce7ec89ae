"""State resolution of room version 1.

Spec: rooms/v1, #state-resolution.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from hs_common.matrix.event import Event, StateKey, StateMap
from hs_common.matrix.state_resolution.auth_checks import is_allowed, required_keys
from hs_common.matrix.state_resolution.auth_graph import AuthGraph
from hs_common.matrix.state_resolution.conflict import Split

# The types that others depend on, in the order in which their conflicts are resolved.
_AUTH_TYPES: Final = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve_version1(states: Split, graph: AuthGraph) -> StateMap:
    """The resolution of some states. Raises MissingEvents.

    Keys of one type are all decided by the state that the types before them have left, so their order does not matter.
    """
    # Start by setting R to the union of the states to be resolved, excluding any conflicting events.
    candidates: dict[StateKey, set[str]] = {}
    for state in states.remainders:
        for key, event_id in state.items():
            candidates.setdefault(key, set()).add(event_id)
    alone = {key: next(iter(ids)) for key, ids in candidates.items() if len(ids) == 1}
    resolved = states.unconflicted | alone
    conflicts = {key: ids for key, ids in candidates.items() if len(ids) > 1}
    _require_all(conflicts, resolved, graph)
    # First we resolve conflicts between m.room.power_levels events. Repeat for m.room.join_rules, and m.room.member.
    for event_type in _AUTH_TYPES:
        of_type = {key: ids for key, ids in conflicts.items() if key[0] == event_type}
        resolved |= {key: _last_allowed(graph.require(ids), resolved, graph) for key, ids in of_type.items()}
    # For all other conflicts, just pick the event with the highest depth and lowest sha1(event_id) that passes
    # authentication in R and add it to R.
    for key, ids in conflicts.items():
        if key[0] not in _AUTH_TYPES:
            allowed = [event for event in graph.require(ids) if _is_allowed_in(event, resolved, graph)]
            if allowed:
                resolved[key] = _ordered(allowed)[-1].event_id
    return resolved


def _require_all(conflicts: dict[StateKey, set[str]], resolved: StateMap, graph: AuthGraph) -> None:
    events = graph.require(set().union(*conflicts.values()))
    graph.require({resolved[key] for event in events for key in required_keys(event) if key in resolved})


def _ordered(events: Sequence[Event]) -> list[Event]:
    """Events by ascending depth, then descending sha1(event_id)."""
    by_hash = sorted(events, key=lambda event: hashlib.sha1(event.event_id.encode("utf-8")).digest(), reverse=True)
    return sorted(by_hash, key=lambda event: event.depth)


def _last_allowed(events: Sequence[Event], resolved: StateMap, graph: AuthGraph) -> str:
    # Add the first event in the list to R. For each subsequent event, check that the event would be allowed by the
    # authorisation rules for a room in state R. If so, update R with the event and continue with the next event in the
    # list. If it would not be allowed, stop.
    last, *others = _ordered(events)
    for event in others:
        if not _is_allowed_in(event, resolved | {last.key: last.event_id}, graph):
            break
        last = event
    return last.event_id


def _is_allowed_in(event: Event, state: StateMap, graph: AuthGraph) -> bool:
    return is_allowed(event, {key: graph.event(state[key]) for key in required_keys(event) if key in state})
