"""In which order the events in doubt are looked at.

Spec: rooms/v2, #definitions (reverse topological power ordering, mainline ordering).
"""

import heapq
import math
from collections.abc import Set as AbstractSet

from hs_common.matrix.auth_rules import CREATE_KEY, POWER_LEVELS_KEY
from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import Level, PowerLevels
from hs_common.matrix.state_resolution.auth_graph import AuthGraph
from hs_common.matrix.state_resolution.conflict import lowest


def reverse_topological_power_ordering(event_ids: AbstractSet[str], graph: AuthGraph) -> list[str]:
    """Events ordered so that each comes after those in its auth chain; where that leaves a choice, power decides.

    Kahn's algorithm; the next event is the smallest of those whose auth chain is through.
    """
    # Ways between the events may lead over others, which take part but are not put out.
    chain = graph.chain(event_ids, lowest(event_ids, graph)) if event_ids else []
    waits_for: dict[str, int] = dict.fromkeys(chain, 0)
    cited_by: dict[str, list[str]] = {}
    for event in graph.require(chain):
        for auth_event_id in waits_for.keys() & event.auth_event_ids:
            waits_for[event.event_id] += 1
            cited_by.setdefault(auth_event_id, []).append(event.event_id)
    order_keys = _power_order_keys(event_ids, graph)
    passed = [event_id for event_id in chain if not waits_for[event_id]]
    candidates: list[tuple[Level, int, str]] = []
    ordered: list[str] = []
    while passed or candidates:
        if passed:
            event_id = passed.pop()
            if event_id in event_ids:
                heapq.heappush(candidates, order_keys[event_id])
                continue
        else:
            event_id = heapq.heappop(candidates)[2]
            ordered.append(event_id)
        for citing_id in cited_by.get(event_id, ()):
            waits_for[citing_id] -= 1
            if not waits_for[citing_id]:
                passed.append(citing_id)
    return ordered


def _power_order_keys(event_ids: AbstractSet[str], graph: AuthGraph) -> dict[str, tuple[Level, int, str]]:
    # x < y if
    # 1. x's sender has greater power level than y's sender, when looking at their respective auth_events; or
    # 2. the senders have the same power level, but x's origin_server_ts is less than y's origin_server_ts; or
    # 3. the senders have the same power level and the events have the same origin_server_ts, but x's event_id is less.
    events = _require_with_auth_events(event_ids, graph)
    return {e.event_id: (-_sender_level(e, graph), e.origin_server_ts, e.event_id) for e in events}


def _require_with_auth_events(event_ids: AbstractSet[str], graph: AuthGraph) -> list[Event]:
    events = graph.require(event_ids)
    graph.require({auth_event_id for event in events for auth_event_id in event.auth_event_ids})
    return events


def _sender_level(event: Event, graph: AuthGraph) -> Level:
    auth_state = graph.auth_state(event)
    create = event if event.type == "m.room.create" else auth_state.get(CREATE_KEY)
    return 0 if create is None else PowerLevels(create, auth_state.get(POWER_LEVELS_KEY)).user_level(event.sender)


def mainline_ordering(event_ids: AbstractSet[str], power_levels_id: str | None, graph: AuthGraph) -> list[str]:
    """Events ordered by how old the power levels are that they build on, measured on the mainline of a power levels
    event.

    `power_levels_id` is that of the partially resolved state; without one no event has a place on the mainline.
    """
    mainline = _Mainline(power_levels_id, graph)

    def order_key(event: Event) -> tuple[float, int, str]:
        # x < y if
        # 1. the mainline position of x is greater than the mainline position of y; or
        # 2. the positions are the same, but x's origin_server_ts is less than y's origin_server_ts; or
        # 3. the positions and the origin_server_ts are the same, but x's event_id is less than y's event_id.
        return (-mainline.position(event), event.origin_server_ts, event.event_id)

    events = _require_with_auth_events(event_ids, graph)
    return [event.event_id for event in sorted(events, key=order_key)]


class _Mainline:
    """The mainline of a power levels event, walked down only as far as somebody asks."""

    __slots__ = ("_graph", "_last", "_length", "_positions")

    def __init__(self, power_levels_id: str | None, graph: AuthGraph) -> None:
        self._graph = graph
        # The last event of the mainline that we know; None if the mainline is known to its end.
        self._last = power_levels_id
        self._length = 0 if power_levels_id is None else 1
        # The positions of power levels events, of those beside the mainline too: the place where they meet it.
        self._positions: dict[str | None, float] = {None: math.inf, power_levels_id: 0 if power_levels_id else math.inf}

    def position(self, event: Event) -> float:
        """The smallest index of the mainline that the event's power levels lead to; infinite if they lead past it."""
        path: list[str] = []
        power_levels_id = _cited_power_levels(event, self._graph)
        while power_levels_id is not None:
            self._walk_down_to(power_levels_id)
            if power_levels_id in self._positions:
                break
            path.append(power_levels_id)
            power_levels_id = _cited_power_levels(self._graph.event(power_levels_id), self._graph)
        position = self._positions[power_levels_id]
        # So that many events over one long side branch walk it once.
        self._positions.update(dict.fromkeys(path, position))
        return position

    def _walk_down_to(self, power_levels_id: str) -> None:
        """Know the mainline as far down as this event could be on it."""
        depth = self._depth(power_levels_id)
        while self._last is not None and self._depth(self._last) > depth:
            self._last = _cited_power_levels(self._graph.event(self._last), self._graph)
            if self._last is not None:
                self._positions[self._last] = self._length
                self._length += 1

    def _depth(self, event_id: str) -> int:
        return self._graph.require_depths((event_id,))[event_id]


def _cited_power_levels(event: Event, graph: AuthGraph) -> str | None:
    power_levels = graph.auth_state(event).get(POWER_LEVELS_KEY)
    return None if power_levels is None else power_levels.event_id
