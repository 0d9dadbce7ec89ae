"""Resolves the states of a room's branches: runs the algorithm of the core and reads the events that it asks for.

Auth depths are not stored, since almost no room ever needs them: they are worked out from the auth chains where a
resolution asks, and remembered. Reads committed events only; what is not committed yet is handed in.
Spec: rooms/v2.md and rooms/v12.md, #state-resolution.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import orjson

from hs_common.bounded import Bounded
from hs_common.matrix.event import Event, StateMap
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.state_resolution.auth_graph import Missing
from hs_common.matrix.state_resolution.resolve import resolve
from hs_common.storage import room_forks
from hs_common.storage.queries import Queries

# Auth depths remembered: 100 bytes each.
MAXIMUM_DEPTHS: Final = 50_000
# How often one resolution may ask for more: its auth chains are that long at most.
MAXIMUM_ROUNDS: Final = 10_000

Resolution = Callable[[], "StateMap | Missing"]
# Runs a resolution, which may take long, aside.
Aside = Callable[[Resolution], Awaitable["StateMap | Missing"]]


async def at_once(resolution: Resolution) -> "StateMap | Missing":
    """Runs it here and now: for tests and small rooms."""
    return resolution()


class Resolver:
    """Resolves, and remembers auth depths."""

    def __init__(self, db: Queries, aside: Aside = at_once) -> None:
        self._db = db
        self._aside = aside
        self._depths = Bounded[str, int](MAXIMUM_DEPTHS)

    async def resolve(self, version: RoomVersion, states: Sequence[StateMap], known: Mapping[str, Event]) -> StateMap:
        """The resolved state of at least one state; `known` are events that are not committed. Raises DatabaseError."""
        chains = _Chains(self._db, version, dict(known), self._depths)
        for _ in range(MAXIMUM_ROUNDS):
            answer = await self._aside(
                lambda: resolve(version, states, chains.events, depths=chains.depths, rejected=chains.rejected)
            )
            if not isinstance(answer, Missing):
                self._depths.update(chains.depths)
                return answer
            await chains.load(answer.event_ids)
        raise AssertionError("a resolution asks for ever more events")


class _Chains:
    """The events that one resolution has asked for, and the depths of those and of their auth chains."""

    def __init__(self, db: Queries, version: RoomVersion, events: dict[str, Event], remembered: dict[str, int]) -> None:
        self._db = db
        self._version = version
        self._remembered = remembered
        self.events = events
        self.depths: dict[str, int] = {}
        self.rejected: set[str] = set()

    async def load(self, event_ids: Iterable[str]) -> None:
        """Read the events, and find out how deep they lie."""
        wanted = set(event_ids)
        await self._read(wanted)
        for event_id in wanted:
            self._recall(event_id)
        frontier = {event_id for event_id in wanted if event_id not in self.depths}
        entered: set[str] = set()
        while frontier:
            await self._read(frontier)
            entered |= frontier
            cited = {auth_id for event_id in frontier for auth_id in self.events[event_id].auth_event_ids}
            for auth_id in cited:
                self._recall(auth_id)
            frontier = {auth_id for auth_id in cited if auth_id not in self.depths and auth_id not in entered}
        self._settle(entered)

    def _recall(self, event_id: str) -> None:
        if event_id in self._remembered:
            self.depths[event_id] = self._remembered[event_id]

    async def _read(self, event_ids: Iterable[str]) -> None:
        unread = [event_id for event_id in event_ids if event_id not in self.events]
        if not unread:
            return
        for event_id, status, json in await room_forks.events(self._db, unread):
            self.events[event_id] = Event.from_pdu(orjson.loads(json), self._version, event_id)
            if status == room_forks.REJECTED:
                self.rejected.add(event_id)
        absent = [event_id for event_id in unread if event_id not in self.events]
        assert not absent, f"events are stored after their auth events, and yet {absent} are not here"

    def _settle(self, event_ids: Iterable[str]) -> None:
        """Depths from below upwards, without recursion: chains are long."""
        pending = list(event_ids)
        while pending:
            event_id = pending[-1]
            if event_id in self.depths:
                pending.pop()
                continue
            auth_ids = self.events[event_id].auth_event_ids
            above = [auth_id for auth_id in auth_ids if auth_id not in self.depths]
            if above:
                pending += above
            else:
                self.depths[pending.pop()] = max((self.depths[auth_id] + 1 for auth_id in auth_ids), default=0)
