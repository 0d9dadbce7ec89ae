"""What a client asks of sliding sync, in one form for the merged endpoint and the one that released apps still use.

Rules: whatever is wrong is M_INVALID_PARAM or M_BAD_JSON; unknown keys and extensions are ignored; what a client may
ask for is bounded by the limits below. Pure.

Spec: MSC4186, "Request Body"; MSC4508, "Common extension semantics".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hs_common.matrix.tokens import SlidingToken
from hs_workers.sync.sliding.required_state import NOTHING, Selectors

# Spec: "Max lists: 100", "Max subscriptions: 100".
MAXIMUM_LISTS: Final = 100
MAXIMUM_SUBSCRIPTIONS: Final = 100
# Events of one room in one answer: more is what /messages is for.
MAXIMUM_TIMELINE: Final = 100
# Patterns of one RequiredStateRequest; clients send some ten. Each is tried for each entry that changed.
MAXIMUM_ELEMENTS: Final = 200
# Names in one filter or extension: spaces, tags, types, lists, rooms.
MAXIMUM_NAMES: Final = 1_000
THREADS: Final = ("threads", "io.element.msc4360.threads")
"""The extension about threads, by its name and by that which it has until it is merged."""
MAXIMUM_NAME: Final = 255  # characters: identifiers have no more


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """What to tell of a room that a rule matches."""

    timeline_limit: int = 0
    required_state: Selectors = NOTHING

    def plus(self, other: "RoomConfig") -> "RoomConfig":
        """What both ask for."""
        limit = max(self.timeline_limit, other.timeline_limit)
        return RoomConfig(limit, self.required_state | other.required_state)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rooms a list has. None: whether or not."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invited: bool | None = None
    spaces: frozenset[str] | None = None
    room_types: frozenset[str | None] | None = None
    not_room_types: frozenset[str | None] = frozenset()
    tags: frozenset[str] | None = None
    not_tags: frozenset[str] = frozenset()

    @property
    def asks_for_types(self) -> bool:
        """Whether the types of rooms have to be known."""
        return self.room_types is not None or bool(self.not_room_types)

    @property
    def asks_for_encryption(self) -> bool:
        """Whether it has to be known which rooms are encrypted."""
        return self.is_encrypted is not None


@dataclass(frozen=True, slots=True)
class ListConfig:
    """A list. `ranges`: the windows into it, ends included; None is all of it."""

    config: RoomConfig
    ranges: tuple[tuple[int, int], ...] | None = None
    filters: Filters = Filters()


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that is wanted. `lists`, `rooms`: to which it applies, None is all; the rest by its own name."""

    lists: frozenset[str] | None = None
    rooms: frozenset[str] | None = None
    limit: int | None = None
    since: str | None = None
    include_roots: bool = False


@dataclass(frozen=True, slots=True)
class SlidingRequest:
    """A request. `is_unstable`: it came by the older path, and is answered in its words."""

    conn_id: str = ""
    pos: SlidingToken | None = None
    timeout_s: float = 0.0
    set_presence: str = "online"
    lists: Mapping[str, ListConfig] = field(default_factory=dict)
    subscriptions: Mapping[str, RoomConfig] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    is_unstable: bool = False

    @property
    def asks_for_types(self) -> bool:
        """Whether any of the lists does."""
        return any(one.filters.asks_for_types for one in self.lists.values())

    @property
    def asks_for_encryption(self) -> bool:
        """Whether any of the lists does."""
        return any(one.filters.asks_for_encryption for one in self.lists.values())

    @property
    def spaces(self) -> frozenset[str]:
        """All spaces that lists name."""
        return frozenset().union(*(one.filters.spaces or () for one in self.lists.values()))


Json = dict[str, Any]
