"""Which state a client wants to be told of a room: patterns, and what has to be read to serve them. Pure.

A room matched by several lists gets the union of what they ask for: the selectors are kept side by side, and an entry
is wanted if any of them wants it. With lazy loading a wildcard does not stand for members; only one that is named is
wanted in any case.

Spec: MSC4186, RequiredStateRequest, "Lazy loaded memberships".
"""

from typing import Final, NamedTuple

MEMBER: Final = "m.room.member"


class Element(NamedTuple):
    """A pattern for entries of the state; None matches everything."""

    type: str | None
    state_key: str | None

    def matches(self, event_type: str, state_key: str) -> bool:
        """Whether the entry is one of these."""
        return self.type in (None, event_type) and self.state_key in (None, state_key)


class Selector(NamedTuple):
    """One RequiredStateRequest."""

    include: tuple[Element, ...]
    exclude: tuple[Element, ...] = ()
    lazy: bool = False

    def wants(self, event_type: str, state_key: str) -> bool:
        """Whether the entry is to be told, lazily loaded members aside."""
        needs_name = self.lazy and event_type == MEMBER
        return any(
            element.matches(event_type, state_key) and not (needs_name and element.state_key is None)
            for element in self.include
        ) and not any(element.matches(event_type, state_key) for element in self.exclude)

    @property
    def has_all_members(self) -> bool:
        """Whether all members are wanted, not lazily."""
        return not self.lazy and any(
            element.type in (None, MEMBER) and element.state_key is None for element in self.include
        )


Selectors = frozenset[Selector]
NOTHING: Final[Selectors] = frozenset()


class Need(NamedTuple):
    """What to read of a room's state so that `wants` can choose from it."""

    keys: frozenset[tuple[str, str]]
    types: frozenset[str]
    everything: bool  # all but members
    members: bool  # with all members


def wants(selectors: Selectors, event_type: str, state_key: str) -> bool:
    """Whether any of them wants the entry."""
    return any(selector.wants(event_type, state_key) for selector in selectors)


def is_lazy(selectors: Selectors) -> bool:
    """Whether members come with the events that need them: somebody asks for that, and nobody gets all of them."""
    lazy = any(selector.lazy for selector in selectors)
    return lazy and not any(selector.has_all_members for selector in selectors)


def need(selectors: Selectors) -> Need:
    """What has to be read for them."""
    keys, types, everything, members = set(), set(), False, False
    for selector in selectors:
        for element in selector.include:
            if element.type is not None and element.state_key is not None:
                keys.add((element.type, element.state_key))
            elif element.type is None:
                everything = True
                members |= not selector.lazy
                if element.state_key is not None:
                    keys.add((MEMBER, element.state_key))
            elif not (selector.lazy and element.type == MEMBER):
                types.add(element.type)
    return Need(frozenset(keys), frozenset(types), everything, members)
