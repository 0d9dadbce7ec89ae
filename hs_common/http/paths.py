"""Matching a path against templates such as `/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`.

Rules: a path is cut at its slashes first and decoded afterwards, so `%2F` is a slash inside of a parameter. A parameter
may be empty (`/state/m.room.name/` has the empty state key). A literal segment goes before a parameter. No trailing
slash is added or dropped: a template says what it wants.

Pure: no network, no knowledge of what is found behind a path.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

Target = TypeVar("Target")
REMEMBERED_LIMIT: Final = 4_096
REMEMBERED_LENGTH: Final = 128
"""Segments whose decoding is remembered, about a MiB at most: the same rooms and users come again and again."""
_BROKEN_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


class MalformedPath(ValueError):
    """A path with a broken percent escape, bytes that are not UTF-8, or a NUL (which no identifier contains)."""


def decode_segments(path: bytes) -> list[str]:
    """The decoded segments of an absolute path: `/a/b%2Fc/` is `["a", "b/c", ""]`. Raises MalformedPath."""
    try:
        segments = path.decode("utf-8").split("/")
    except UnicodeDecodeError as error:
        raise MalformedPath("not UTF-8") from error
    if segments[0] or len(segments) == 1:
        raise MalformedPath("not an absolute path")
    decoded = [_decoded(segment) if "%" in segment else segment for segment in segments[1:]]
    if b"\0" in path or (b"%00" in path and any("\0" in segment for segment in decoded)):
        raise MalformedPath("contains NUL")
    return decoded


def _decoded(segment: str) -> str:
    return _remembered(segment) if len(segment) <= REMEMBERED_LENGTH else _decode(segment)


def _decode(segment: str) -> str:
    if _BROKEN_ESCAPE.search(segment):
        raise MalformedPath("a percent sign without two hexadecimal digits")
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPath("not UTF-8") from error


_remembered = lru_cache(REMEMBERED_LIMIT)(_decode)


@dataclass(slots=True)
class _Node(Generic[Target]):
    literals: "dict[str, _Node[Target]]" = field(default_factory=dict)
    parameter: "_Node[Target] | None" = None
    targets: dict[str, tuple[tuple[str, ...], Target]] = field(default_factory=dict)
    """By method: the names of the parameters on the way here, and what was added."""


class Match(NamedTuple, Generic[Target]):
    """What a path leads to, and the parameters on the way."""

    target: Target
    parameters: dict[str, str]


class PathTree(Generic[Target]):
    """Templates as a tree of segments."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, method: str, template: str, target: Target) -> None:
        """Adds a template. A second target for the same method and path is a mistake: ValueError."""
        node = self._root
        names = []
        for segment in template.removeprefix("/").split("/"):
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if method in node.targets:
            raise ValueError(f"{method} {template} is declared twice")
        node.targets[method] = (tuple(names), target)

    def find(self, method: str, segments: list[str]) -> Match[Target] | None:
        """What the method and path lead to; None if nothing."""
        way = self._first_way(segments)
        found = None if way is None else way[0].targets.get(method)
        if way is not None and found is not None:
            return Match(found[1], dict(zip(found[0], way[1], strict=True)))
        for node, values in _leaves(self._root, segments, 0, ()):
            found = node.targets.get(method)
            if found is not None:
                return Match(found[1], dict(zip(found[0], values, strict=True)))
        return None

    def _first_way(self, segments: list[str]) -> tuple[_Node[Target], list[str]] | None:
        """The first of all `_leaves` where it is found without turning back, which it nearly always is."""
        node = self._root
        values = []
        for segment in segments:
            child = node.literals.get(segment)
            if child is None:
                child = node.parameter
                if child is None:
                    return None
                values.append(segment)
            node = child
        return node, values

    def methods(self, segments: list[str]) -> set[str]:
        """The methods that the path is there for; empty if there is no such path."""
        return {method for node, _ in _leaves(self._root, segments, 0, ()) for method in node.targets}


def _leaves(
    node: _Node[Target], segments: list[str], index: int, values: tuple[str, ...]
) -> Iterator[tuple[_Node[Target], tuple[str, ...]]]:
    """The ends of all ways through the tree that the segments allow, the most literal first. Its depth and its work are
    bounded by the templates, not by the path."""
    if index == len(segments):
        yield node, values
        return
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None:
        yield from _leaves(literal, segments, index + 1, values)
    if node.parameter is not None:
        yield from _leaves(node.parameter, segments, index + 1, (*values, segment))
