"""What is in doubt between the states: the conflicted events, and the events that led to them.

Spec: rooms/v2 and rooms/v12, #definitions.
"""

import heapq
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hs_common.matrix.event import StateMap
from hs_common.matrix.state_resolution.auth_graph import AuthGraph, MissingEvents


@dataclass(frozen=True, slots=True)
class Split:
    """Some states, divided into what they agree on and what they do not."""

    # The unconflicted state map.
    unconflicted: StateMap
    # What remains of each state. Keys that only some of the states have are here too.
    remainders: Sequence[StateMap]

    @property
    def conflicted(self) -> frozenset[str]:
        """The conflicted state set."""
        return frozenset(event_id for state in self.remainders for event_id in state.values())


def split(state_sets: Sequence[StateMap]) -> Split:
    """Divide at least one state. Costs little more than comparing the states."""
    # If a given key K is present in every Si with the same value V in each state map, then the pair (K, V) belongs to
    # the unconflicted state map. Otherwise, V belongs to the conflicted state set.
    first = state_sets[0]
    conflicted_keys = {key for state in state_sets[1:] for key, _ in first.items() ^ state.items()}
    unconflicted = dict(first)
    for key in conflicted_keys:
        unconflicted.pop(key, None)
    return Split(unconflicted, [{key: state[key] for key in conflicted_keys if key in state} for state in state_sets])


def full_conflicted_set(states: Split, graph: AuthGraph, *, with_subgraph: bool) -> frozenset[str]:
    """The conflicted state set, the auth difference and, `with_subgraph` (12), the conflicted state subgraph."""
    conflicted = states.conflicted
    # Most of the time only the conflicted events themselves are reached by some states and not by others. Then the
    # events agreed on, thousands of members maybe, need not be walked: they could only show that less is in doubt.
    difference = _reached_by_some(states, graph, walk_agreed=False)
    if not difference <= conflicted:
        difference = auth_difference(states, graph)
    full = conflicted | difference
    return full | conflicted_state_subgraph(conflicted, graph) if with_subgraph else full


def auth_difference(states: Split, graph: AuthGraph) -> frozenset[str]:
    """The events that are in the full auth chains of some of the states, but not of all.

    The events of a state count as part of its full auth chain: what all states hold is not in doubt, whoever cites it.
    """
    return _reached_by_some(states, graph, walk_agreed=True)


def _reached_by_some(states: Split, graph: AuthGraph, *, walk_agreed: bool) -> frozenset[str]:
    """The auth difference; or, without the walk from the events in all states, the most that it can be.

    All states are walked down together, highest event first. When an event is reached all that cite it have been, so it
    is known which states reach it; the walk ends as soon as every event still ahead is reached by all states.
    """
    everyone = (1 << len(states.remainders)) - 1
    reached_by = dict.fromkeys(states.unconflicted.values(), everyone)
    for number, state in enumerate(states.remainders):
        for event_id in state.values():
            reached_by[event_id] = reached_by.get(event_id, 0) | 1 << number
    starts = reached_by if walk_agreed else states.conflicted
    # Of those equally high, the ones in doubt first: they may end the walk.
    ahead = [(-depth, reached_by[i] == everyone, i) for i, depth in graph.require_depths(starts).items()]
    heapq.heapify(ahead)
    # How many of the events ahead are not (yet) known to be reached by all.
    in_doubt = sum(mask != everyone for mask in reached_by.values())
    difference: set[str] = set()
    missing: set[str] = set()
    while in_doubt:
        event_id = heapq.heappop(ahead)[2]
        mask = reached_by[event_id]
        if mask != everyone:
            in_doubt -= 1
            difference.add(event_id)
        try:
            depths = graph.require_depths(graph.event(event_id).auth_event_ids)
        except MissingEvents as error:
            missing |= error.event_ids
            continue
        for auth_event_id, depth in depths.items():
            before = reached_by.get(auth_event_id)
            after = reached_by[auth_event_id] = (before or 0) | mask
            if before is None:
                heapq.heappush(ahead, (-depth, after == everyone, auth_event_id))
                in_doubt += after != everyone
            else:
                in_doubt -= before != everyone and after == everyone
    if missing:
        raise MissingEvents(missing)
    return frozenset(difference)


def conflicted_state_subgraph(conflicted: AbstractSet[str], graph: AuthGraph) -> frozenset[str]:
    """The events on all ways along auth_events from one conflicted event to another, both included."""
    floor = lowest(conflicted, graph)
    # Every event here is reached from a conflicted one; those that also reach one are on a way.
    leads_to_conflicted = set(conflicted)
    for event in graph.require(graph.chain(conflicted, floor)):
        if not leads_to_conflicted.isdisjoint(event.auth_event_ids):
            leads_to_conflicted.add(event.event_id)
    return frozenset(leads_to_conflicted)


def lowest(event_ids: Collection[str], graph: AuthGraph) -> int:
    """The lowest auth depth of some events (at least one)."""
    return min(graph.require_depths(event_ids).values())
