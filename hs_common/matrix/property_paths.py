"""Dot-separated property paths: how push conditions and `event_fields` name a property of an event.

`content.m\\.relates_to.rel_type` names the property `rel_type` of `m.relates_to` of `content`.

Spec: appendices, #dot-separated-property-paths.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# What `look_up` answers for a property that is not there; a JSON null is there.
ABSENT: Final = object()

# An escaped dot or backslash, a dot, or any other run. A backslash before another character is literal.
_PIECE = re.compile(r"\\([.\\])|(\.)|([^.\\]+|\\)", re.DOTALL)


def split(path: str) -> tuple[str, ...]:
    """The property names of a path, from the outermost to the innermost, without their escapes."""
    names = [""]
    for escaped, dot, literal in _PIECE.findall(path):
        if dot:
            names.append("")
        else:
            names[-1] += escaped or literal
    return tuple(names)


def look_up(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The property named, or ABSENT. Only objects are entered, never arrays."""
    found: Any = value
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return ABSENT
        found = found[name]
    return found
