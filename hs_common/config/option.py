"""How options are declared: one line each, with type, default, unit and a sentence for the operator.

    class Listen(Section, frozen=True):
        '''Where clients connect.'''
        port: Annotated[int, describe("TCP port for clients.", minimum=1, maximum=65535)] = 8008

From these declarations come the checks of a config file, the errors that name the nearest known key, and the reference.
"""

from typing import Any

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the config file. The first line of its docstring is its title in the reference."""


class Secret(str):
    """A password, key, or URL that may hold one: a string that shows itself to nobody by accident.

    It is its value wherever it is used as one; only its `repr`, and so that of every record holding it, is masked.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('')" if not self else "Secret('***')"


def describe(
    sentence: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
) -> msgspec.Meta:
    """What an operator must know of an option, and the values it accepts (`pattern`: the whole text must match)."""
    limits: dict[str, Any] = {}
    if minimum is not None:
        limits["ge"] = minimum
    if maximum is not None:
        limits["le"] = maximum
    if pattern is not None:
        limits["pattern"] = f"^(?:{pattern})$"
    return msgspec.Meta(description=sentence, extra={"unit": unit}, **limits)
