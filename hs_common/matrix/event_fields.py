"""`event_fields` of a filter: the projection of an event to the properties that a client asked for.

What every event must have stays, asked for or not, so that an answer is always what its schema says it is: "A server
may include more fields than were requested." Of a content that nobody asked for an empty object stays.

Spec: client-server API, Filter, ClientEventWithoutRoomID; appendices, #dot-separated-property-paths.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# What is wanted of an object: for each name the same of its value, or None for all of the value.
_Tree = dict[str, "_Tree | None"]

_REQUIRED: Final = ("type", "event_id", "sender", "origin_server_ts")  # by the schema of an event


class EventFields:
    """A set of property paths, as a tree."""

    __slots__ = ("_tree",)

    def __init__(self, paths: Iterable[Sequence[str]] | None = None) -> None:
        """`paths` are as `property_paths.split` gives them; None stands for all fields."""
        self._tree: _Tree | None = None
        if paths is not None:
            self._tree = {**dict.fromkeys(_REQUIRED), "content": {}}
            for names in paths:
                _insert(self._tree, names)

    @property
    def everything(self) -> bool:
        """Whether `project` has nothing to leave out."""
        return self._tree is None

    def project(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with the properties asked for, those that it must have, and no others; `event` is not changed."""
        return event if self._tree is None else _project(self._tree, event)


def _insert(tree: _Tree, names: Sequence[str]) -> None:
    for name in names[:-1]:
        below = tree.setdefault(name, {})
        if below is None:
            # All of it is wanted already.
            return
        tree = below
    tree[names[-1]] = None


def _project(tree: _Tree, value: Mapping[str, Any]) -> dict[str, Any]:
    projected = {}
    for name, below in tree.items():
        if name not in value:
            continue
        if below is None:
            projected[name] = value[name]
        elif isinstance(value[name], Mapping):
            projected[name] = _project(below, value[name])
    return projected


ALL_FIELDS = EventFields()
