"""Reads a JSON object while it comes, in pieces of any size: elements of some lists one by one, other members whole.

The answer to a join may be larger than what one wants in memory; its events are not. Pure.
"""

import codecs
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final, NoReturn

MAXIMUM_ELEMENT: Final = 1 << 20
"""Characters of an element of a list: an event with whatever its sender has put into `unsigned`."""
MAXIMUM_MEMBER: Final = 8 << 20
"""Characters of any other member: some hundred thousand server names."""
FIRST_RETRY: Final = 16 * 1024
"""How much more has to come before a value that was cut off is tried again; a quarter of it, if that is more."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


class JsonListReader:
    """`lists`: the members whose elements are given out as they come. `members` has the others, at the end.

    Raises ValueError for what is not JSON, is no object, or is too large. After that it must not be used.
    """

    def __init__(self, lists: Collection[str]) -> None:
        self._lists = frozenset(lists)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._retry_from = 0  # length of the text that makes a new try worth it
        self._expects = "{"
        self._name = ""
        self.members: dict[str, Any] = {}

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[tuple[str, Any]]:
        """The elements that are complete by now, with the names of their lists. To be used up before the next piece."""
        self._text += self._utf8.decode(data, last)
        if len(self._text) < self._retry_from and not last:
            return
        while True:
            self._skip_space()
            if self._at >= len(self._text):
                break
            before = self._at
            found = self._step(last)
            if found is not None:
                yield found
            elif self._at == before:
                break  # a value that is cut off
        self._text = self._text[self._at :]
        self._at = 0
        if len(self._text) > MAXIMUM_MEMBER:
            raise ValueError("a part of the JSON is too large")
        self._retry_from = len(self._text) + max(FIRST_RETRY, len(self._text) // 4) if self._text else 0

    def finish(self) -> Iterator[tuple[str, Any]]:
        """The last elements. Raises ValueError if the object is not complete."""
        yield from self.feed(b"", last=True)
        if self._expects != "end":
            raise ValueError("the JSON ends too soon")

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None, "it matches nothing too"
        self._at = found.end()

    def _step(self, last: bool) -> tuple[str, Any] | None:
        """Take one thing; an element of a list is answered."""
        expects, character = self._expects, self._text[self._at]
        if expects in ("element", "first element") and not (expects == "first element" and character == "]"):
            return self._element(last)
        if expects == "value" and not (self._name in self._lists and character == "["):
            self._member(last)
            return None
        if expects in ("name", "first name") and character == '"':
            self._take_name(last)
            return None
        following = {
            ("{", "{"): "first name",
            ("first name", "}"): "end",
            (":", ":"): "value",
            ("value", "["): "first element",
            ("first element", "]"): "after value",
            ("after element", ","): "element",
            ("after element", "]"): "after value",
            ("after value", ","): "name",
            ("after value", "}"): "end",
        }.get((expects, character))
        if following is None:
            raise ValueError(f"unexpected {character!r} in JSON")
        self._expects = following
        self._at += 1
        return None

    def _take_name(self, last: bool) -> None:
        value = self._value(last, MAXIMUM_ELEMENT)
        if value is not None:
            self._name, self._expects = value[0], ":"

    def _member(self, last: bool) -> None:
        value = self._value(last, MAXIMUM_MEMBER)
        if value is not None:
            self.members[self._name] = value[0]
            self._expects = "after value"

    def _element(self, last: bool) -> tuple[str, Any] | None:
        value = self._value(last, MAXIMUM_ELEMENT)
        if value is None:
            return None
        self._expects = "after element"
        return self._name, value[0]

    def _value(self, last: bool, limit: int) -> tuple[Any] | None:
        """The value that begins here; None if it is cut off."""
        try:
            value, end = _decoder.raw_decode(self._text, self._at)
        except (ValueError, RecursionError) as error:
            if last or len(self._text) - self._at > limit or isinstance(error, RecursionError):
                raise ValueError("the JSON cannot be read") from error
            return None
        if end - self._at > limit:
            raise ValueError("a part of the JSON is too large")
        if end == len(self._text) and not last and not isinstance(value, dict | list | str):
            return None  # a number may go on
        self._at = end
        return (value,)
