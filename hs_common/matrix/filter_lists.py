"""The pairs of lists of a filter: what is wanted (`types`, `senders`, `rooms`) and what is not (`not_types` …).

An absent list of wanted entries lets everything through, an empty one nothing. The list of unwanted ones wins.

Spec: client-server API, EventFilter and RoomEventFilter.
"""

from collections.abc import Iterable

from hs_common.matrix import globs
from hs_common.matrix.errors import invalid_param

# Entries of one list. An account may be in thousands of rooms and name them all.
MAX_LIST_ENTRIES = 10_000
# Entries of one list that have a `*`: each of these is tried for every event.
MAX_WILDCARDS = 100
# Characters of an entry with a `*`. Event types have at most 255 bytes.
MAX_WILDCARD_LENGTH = 255


class Selection:
    """Exact names that are wanted and unwanted: user ids or room ids."""

    __slots__ = ("_unwanted", "_wanted")

    def __init__(self, wanted: Iterable[str] | None = None, unwanted: Iterable[str] | None = None) -> None:
        self._wanted = None if wanted is None else frozenset(wanted)
        self._unwanted = frozenset(unwanted or ())

    @property
    def wanted(self) -> frozenset[str] | None:
        """The names to which a query can be limited; None for all."""
        return None if self._wanted is None else self._wanted - self._unwanted

    @property
    def unwanted(self) -> frozenset[str]:
        """The names that a query can leave out."""
        return self._unwanted

    def allows(self, name: str | None) -> bool:
        """Whether a name passes. None (there is none) passes unless certain names are wanted."""
        return name not in self._unwanted and (self._wanted is None or name in self._wanted)


class TypeSelection:
    """Event types that are wanted and unwanted; `*` stands for any sequence of characters."""

    __slots__ = ("_unwanted", "_wanted")

    def __init__(self, wanted: Iterable[str] | None = None, unwanted: Iterable[str] | None = None) -> None:
        self._wanted = None if wanted is None else _Patterns(wanted)
        self._unwanted = _Patterns(unwanted or ())

    def allows(self, event_type: str) -> bool:
        """Whether events of a type pass."""
        return (self._wanted is None or self._wanted.match(event_type)) and not self._unwanted.match(event_type)


class _Patterns:
    """A list of event types, those without wildcard apart as a set."""

    __slots__ = ("_exact", "_wildcards")

    def __init__(self, patterns: Iterable[str]) -> None:
        distinct = frozenset(patterns)
        with_wildcard = [pattern for pattern in distinct if "*" in pattern]
        if any(len(pattern) > MAX_WILDCARD_LENGTH for pattern in with_wildcard):
            raise invalid_param(f"A type with `*` has at most {MAX_WILDCARD_LENGTH} characters")
        if len(with_wildcard) > MAX_WILDCARDS:
            raise invalid_param(f"A list of types has at most {MAX_WILDCARDS} entries with `*`")
        self._exact = distinct.difference(with_wildcard)
        self._wildcards = tuple(globs.wildcard(pattern) for pattern in with_wildcard)

    def match(self, event_type: str) -> bool:
        return event_type in self._exact or any(test(event_type) for test in self._wildcards)


EVERY_NAME = Selection()
EVERY_TYPE = TypeSelection()
