"""Python lists as PostgreSQL's array literals: `'{"a","b"}'` and not `ARRAY['a', 'b']`.

The driver makes an expression of a list, each element escaped on its own here and a node of the parser's tree there.
With lists of hundreds, of which readers of many rooms are full, that was a third of a sync worker's time, and most of
what the server did before it came to plan. A literal is one string for both. Its type is that of its place: compare it
with a column, or cast it. Pure; must not know statements.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})


def with_literals(args: Sequence[object] | Mapping[str, object]) -> Any:
    """The arguments of a statement, lists among them as literals."""
    if isinstance(args, Mapping):
        return {name: literal(value) if type(value) is list else value for name, value in args.items()}
    return [literal(value) if type(value) is list else value for value in args]


def literal(values: list[Any]) -> object:
    """The literal of a list, or the list itself if it holds what only the driver knows how to write."""
    if not values:
        return "{}"
    kind = type(values[0])
    if kind is str:
        return _of_strings(values)
    if kind is int:
        return _of_numbers(values)
    return _of_any(values)


def _of_strings(values: list[Any]) -> object:
    try:
        inner = '","'.join(values)
    except TypeError:  # not of strings alone
        return _of_any(values)
    if "\\" in inner or inner.count('"') != 2 * (len(values) - 1):
        inner = '","'.join(value.translate(_QUOTED) for value in values)
    return f'{{"{inner}"}}'


def _of_numbers(values: list[Any]) -> object:
    if any(type(value) is not int for value in values):
        return _of_any(values)
    return f"{{{','.join(map(str, values))}}}"


def _of_any(values: list[Any]) -> object:
    parts = [_element(value) for value in values]
    return values if None in parts else f"{{{','.join(map(str, parts))}}}"


def _element(value: object) -> str | None:
    """One element; None if the driver has to write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if type(value) is int:
        return str(value)
    if type(value) is str:
        return f'"{value.translate(_QUOTED)}"'
    if type(value) is bytes:
        return f'"\\\\x{value.hex()}"'
    return None
