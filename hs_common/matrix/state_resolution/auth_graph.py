"""The graph that events span by their auth_events links, as far as the caller has loaded it.

An event's *auth depth* is the length of its longest way down: 0 without auth events, else one more than the highest of
them. It is computed from the graph, so unlike `depth` nobody can lie about it, and it bounds every walk: an event
cannot be reached from one that is not above it.
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hs_common.matrix.auth_rules import state_of
from hs_common.matrix.event import Event, StateKey


@dataclass(frozen=True, slots=True)
class Missing:
    """The answer that more is needed: load these events (and their auth depths, if those are given) and ask again."""

    event_ids: frozenset[str]


class MissingEvents(Exception):
    """Raised within this package where the graph ends before the answer is found."""

    def __init__(self, event_ids: AbstractSet[str]) -> None:
        super().__init__(event_ids)
        self.event_ids = frozenset(event_ids)


class AuthGraph:
    """Events, how deep they lie, and which of them were rejected. Every method raises MissingEvents."""

    __slots__ = ("_depths", "_events", "_rejected")

    def __init__(
        self, events: Mapping[str, Event], depths: Mapping[str, int], rejected: AbstractSet[str] = frozenset()
    ) -> None:
        self._events = events
        self._depths = depths
        self._rejected = rejected

    def event(self, event_id: str) -> Event:
        """One event."""
        event = self._events.get(event_id)
        if event is None:
            raise MissingEvents({event_id})
        return event

    def require(self, event_ids: Iterable[str]) -> list[Event]:
        """Events, in the order of their ids. If some are missing, all that are missing are named at once."""
        wanted = list(event_ids)
        missing = {event_id for event_id in wanted if event_id not in self._events}
        if missing:
            raise MissingEvents(missing)
        return [self._events[event_id] for event_id in wanted]

    def require_depths(self, event_ids: Iterable[str]) -> dict[str, int]:
        """The auth depths of events. If some are missing, all that are missing are named at once."""
        wanted = list(event_ids)
        missing = {event_id for event_id in wanted if event_id not in self._depths}
        if missing:
            raise MissingEvents(missing)
        return {event_id: self._depths[event_id] for event_id in wanted}

    def auth_state(self, event: Event) -> dict[StateKey, Event]:
        """The state that an event's auth events make up; in version 12 the room id stands for the create event."""
        return state_of(self.require(event.judged_by_ids))

    def accepted_auth_state(self, event: Event) -> dict[StateKey, Event]:
        """Likewise, without the auth events that were rejected."""
        return state_of(self.require(i for i in event.judged_by_ids if i not in self._rejected))

    def chain(self, starts: Collection[str], floor: int) -> list[str]:
        """The given events and their auth chains down to auth depth `floor`, each event after its auth events."""
        found = self.require_depths(starts)
        pending = list(found)
        missing: set[str] = set()
        while pending:
            event_id = pending.pop()
            # Nothing below an event that lies on the floor is wanted, so that event need not be loaded.
            if found[event_id] <= floor:
                continue
            event = self._events.get(event_id)
            if event is None:
                missing.add(event_id)
                continue
            for auth_event_id in event.auth_event_ids:
                depth = self._depths.get(auth_event_id)
                if depth is None:
                    missing.add(auth_event_id)
                elif depth >= floor and auth_event_id not in found:
                    found[auth_event_id] = depth
                    pending.append(auth_event_id)
        if missing:
            raise MissingEvents(missing)
        return sorted(found, key=lambda event_id: (found[event_id], event_id))


def auth_depths(event_ids: Iterable[str], events: Mapping[str, Event]) -> dict[str, int]:
    """The auth depth of events and of all in their auth chains. Raises MissingEvents.

    Walks the chains down to their end. Whoever keeps auth depths beside the events passes them instead. Raises
    ValueError if the chains run in a circle, which is possible only where event ids are no hashes, and nowhere in a
    room of events that were accepted one after another.
    """
    depths: dict[str, int] = {}
    missing: set[str] = set()
    entered: set[str] = set()
    pending = list(event_ids)
    while pending:
        event_id = pending[-1]
        event = events.get(event_id)
        if event is None:
            missing.add(event_id)
        # What is missing counts as without auth events, so that one answer names all that is.
        auth_event_ids = () if event is None else event.auth_event_ids
        unknown = [auth_event_id for auth_event_id in auth_event_ids if auth_event_id not in depths]
        if not unknown:
            depths[pending.pop()] = max((depths[auth_event_id] + 1 for auth_event_id in auth_event_ids), default=0)
        elif event_id in entered:
            raise ValueError(f"the auth chain of {event_id} runs in a circle")
        else:
            entered.add(event_id)
            pending += unknown
    if missing:
        raise MissingEvents(missing)
    return depths
