"""What the master holds of a room to append to it: its forward extremities, depth and the state it was asked for.

A `RoomHead` says what is committed. Deciding happens on a `RoomDraft` over it (or over another draft), which is merged
downwards when what it holds is decided, and dropped when it is not: nothing is ever undone in place. State entries are
loaded by need; an entry that was looked up and is absent is known as None. No I/O here.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import RoomVersion

# Entries held per room, those known to be absent included: strangers choose what is looked up. Above it the older half
# is dropped, and read again when it is needed.
MAXIMUM_HELD_STATE: Final = 4000


# Why an application service is interested in a room: (service id, cause), the causes as in the table `as_room`.
Cause = tuple[str, str]


class Held(Protocol):
    """A head or a draft: what drafts are laid over."""

    room_id: str
    version: RoomVersion
    extremities: tuple[str, ...]
    depth: int
    state_pos: int
    joined: int

    def entry(self, key: StateKey) -> Event | None:
        """The event at a place of the current state, None if there is none. Raises NotLoaded."""

    def server_joined(self, server: str) -> int:
        """Joined members of a server."""

    def all_causes(self) -> dict[Cause, int]:
        """Why services are interested, and how often (members in a namespace). Raises NotLoaded."""

    def unsettled_causes(self) -> Mapping[Cause, bool]:
        """Causes whose rows do not say so yet: whether one is missing, or one must end."""


class NotLoaded(Exception):
    """An entry of the state that was not loaded was asked for: the needs of a decision were declared too small."""


class RoomHead:
    """The committed head of a room."""

    def __init__(
        self,
        room_id: str,
        version: RoomVersion,
        *,
        extremities: tuple[str, ...] = (),
        depth: int = 0,
        state_pos: int = 0,
        servers: dict[str, int] | None = None,
        complete: bool = False,
    ) -> None:
        self.room_id = room_id
        self.version = version
        self.extremities = extremities
        self.depth = depth
        self.state_pos = state_pos
        self.servers = servers if servers is not None else {}
        self.joined = sum(self.servers.values())
        self.complete = complete  # `state` is the whole state: what is not in it does not exist
        self.state: dict[StateKey, Event | None] = {}
        self.causes: dict[Cause, int] | None = {} if complete else None  # None: not loaded
        self.unsettled: dict[Cause, bool] = {}
        self.changes = 0  # how often a draft was installed: tells a load that it may be out of date

    def has(self, key: StateKey) -> bool:
        return self.complete or key in self.state

    def entry(self, key: StateKey) -> Event | None:
        try:
            return self.state[key]
        except KeyError:
            if self.complete:
                return None
            raise NotLoaded(f"{key} of {self.room_id}") from None

    def server_joined(self, server: str) -> int:
        return self.servers.get(server, 0)

    def all_causes(self) -> dict[Cause, int]:
        if self.causes is None:
            raise NotLoaded(f"who is interested in {self.room_id}")
        return self.causes

    def unsettled_causes(self) -> Mapping[Cause, bool]:
        return self.unsettled

    def forget_interest(self) -> None:
        """Other services are registered: what was known of their interest, or is just being read, is void."""
        self.causes = None
        self.changes += 1

    def fill_interest(self, causes: dict[Cause, int], open_rows: set[Cause]) -> None:
        """Take what was read: the causes, and for which of them a row says so."""
        if self.causes is None:
            self.causes = causes
            self.unsettled = {cause: cause in causes for cause in causes.keys() ^ open_rows}

    def fill(self, entries: Mapping[StateKey, Event | None]) -> None:
        """Take what was read from the database; what is known already is newer and stays."""
        for key, event in entries.items():
            self.state.setdefault(key, event)
        self._bound(entries)

    def install(self, draft: "RoomDraft") -> None:
        """Make a draft's decisions, now committed, the head."""
        self.extremities = draft.extremities
        self.depth = draft.depth
        self.state_pos = draft.state_pos
        self.joined = draft.joined
        self.state.update(draft.changed)
        self.servers.update(draft.servers)
        if self.causes is not None:
            self.causes = _counted({**self.causes, **draft.causes})
        if draft.settled:
            self.unsettled = {}
        self.changes += 1
        self._bound(draft.changed)

    def _bound(self, newest: Mapping[StateKey, Event | None]) -> None:
        """Drop what was looked up longest ago, if there is too much; never the `newest`, which a call waits for."""
        if len(self.state) <= MAXIMUM_HELD_STATE:
            return
        self.complete = False
        older = [key for key in self.state if key not in newest]
        for key in older[: len(self.state) - MAXIMUM_HELD_STATE // 2]:
            del self.state[key]


class RoomDraft:
    """Decisions about a room that are not committed yet, laid over a head or another draft."""

    def __init__(self, base: Held) -> None:
        self.base = base
        self.room_id = base.room_id
        self.version = base.version
        self.extremities = base.extremities
        self.depth = base.depth
        self.state_pos = base.state_pos
        self.joined = base.joined
        self.changed: dict[StateKey, Event | None] = {}
        self.servers: dict[str, int] = {}
        self.causes: dict[Cause, int] = {}
        self.settled = False  # rows were written for all causes

    def entry(self, key: StateKey) -> Event | None:
        if key in self.changed:
            return self.changed[key]
        return self.base.entry(key)

    def server_joined(self, server: str) -> int:
        if server in self.servers:
            return self.servers[server]
        return self.base.server_joined(server)

    def count_server(self, server: str, difference: int) -> int:
        """Count a joined member more or less; returns the server's new count."""
        count = self.server_joined(server) + difference
        assert count >= 0, f"{server} would have {count} members in {self.room_id}"
        self.servers[server] = count
        self.joined += difference
        return count

    def all_causes(self) -> dict[Cause, int]:
        held = self.base.all_causes()
        return _counted({**held, **self.causes}) if self.causes else held

    def unsettled_causes(self) -> Mapping[Cause, bool]:
        return {} if self.settled else self.base.unsettled_causes()

    @property
    def knows_interest(self) -> bool:
        """Whether `all_causes` can say anything."""
        try:
            self.base.all_causes()
        except NotLoaded:
            return False
        return True

    def count_cause(self, cause: Cause, difference: int) -> int:
        """Count a cause more or less; returns the new count. Raises NotLoaded."""
        count = self.all_causes().get(cause, 0) + difference
        assert count >= 0, f"{cause} would count {count} in {self.room_id}"
        self.causes[cause] = count
        return count

    def merge(self, later: "RoomDraft") -> None:
        """Take over a draft that was laid over this one."""
        self.extremities = later.extremities
        self.depth = later.depth
        self.state_pos = later.state_pos
        self.joined = later.joined
        self.changed.update(later.changed)
        self.servers.update(later.servers)
        self.causes.update(later.causes)
        self.settled = self.settled or later.settled


def _counted(causes: dict[Cause, int]) -> dict[Cause, int]:
    return {cause: count for cause, count in causes.items() if count > 0}


class CurrentState(Mapping[StateKey, Event]):
    """The state of a head or draft as a mapping, for the auth rules. Only look-ups; it cannot be iterated."""

    __slots__ = ("_held",)

    def __init__(self, held: Held) -> None:
        self._held = held

    def __getitem__(self, key: StateKey) -> Event:
        event = self._held.entry(key)
        if event is None:
            raise KeyError(key)
        return event

    def get(self, key: StateKey, default: Event | None = None) -> Event | None:  # type: ignore[override]
        event = self._held.entry(key)
        return default if event is None else event

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, tuple)
        return self._held.entry(key) is not None

    def __iter__(self) -> Iterator[StateKey]:
        raise NotLoaded("a room's state is loaded by need and cannot be listed")

    def __len__(self) -> int:
        raise NotLoaded("a room's state is loaded by need and cannot be counted")
