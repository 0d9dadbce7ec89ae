"""Where and for what is searched, and where a search goes on: from a client's wishes to values for the database. Pure.

Spec: client-server API, #server-side-search.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

import orjson

from hs_common.matrix.errors import invalid_param

ROOM: Final = "room_id"
SENDER: Final = "sender"
GROUP_KEYS: Final = (ROOM, SENDER)
MAXIMUM_NAMED: Final = 20
"""Rooms or senders that the index is asked for. With more, asking it for the words alone was measured to be cheaper."""
MAXIMUM_RESTRICTIONS: Final = 4
_MAXIMUM_TOKEN: Final = 2_000
# A word that must not be there would make the index look at everything else.
_NEGATIONS: Final = re.compile(r"(?<!\S)-+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of results begins: after so many of those that were there at a position of the log, in a group."""

    offset: int = 0
    upto: int | None = None
    groups: tuple[tuple[str, str], ...] = ()

    def within(self, key: str, value: str, offset: int) -> "Place":
        """The place in a group of these results."""
        groups = self.groups if (key, value) in self.groups else (*self.groups, (key, value))
        return replace(self, offset=offset, groups=groups)

    def __str__(self) -> str:
        parts = orjson.dumps([self.offset, self.upto, self.groups])
        return base64.urlsafe_b64encode(parts).decode().rstrip("=")


def parse_place(token: str | None) -> Place:
    """400 `M_INVALID_PARAM` for what is no token of a search."""
    if not token:
        return Place()
    try:
        offset, upto, groups = orjson.loads(base64.urlsafe_b64decode(token[:_MAXIMUM_TOKEN] + "==="))
        place = Place(offset, upto, tuple((key, value) for key, value in groups))
    except (ValueError, TypeError, binascii.Error) as error:
        raise invalid_param("`next_batch` is not a token of a search") from error
    if not _is_sound(place):
        raise invalid_param("`next_batch` is not a token of a search")
    return place


def _is_sound(place: Place) -> bool:
    return (
        type(place.offset) is int
        and type(place.upto) is int
        and 0 <= place.offset < 2**31
        and 0 <= place.upto < 2**63
        and len(place.groups) <= MAXIMUM_RESTRICTIONS
        and all(key in GROUP_KEYS and isinstance(value, str) and "\0" not in value for key, value in place.groups)
    )


def positive(term: str) -> str:
    """The term without words that must not be there, and without what the database cannot take."""
    return _NEGATIONS.sub("", term.replace("\0", " "))


def scope(rooms: Collection[str] | None, senders: Collection[str] | None, unwanted_senders: Iterable[str]) -> str:
    """The query over rooms and senders; empty for all."""
    parts = [_any_of(names) for names in (rooms, senders) if names is not None and len(names) <= MAXIMUM_NAMED]
    parts += [f"!{_word(name)}" for name in list(unwanted_senders)[:MAXIMUM_NAMED]]
    return " & ".join(part for part in parts if part)


def _any_of(names: Collection[str]) -> str:
    return f"({' | '.join(_word(name) for name in names)})" if names else ""


def _word(name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}'"
