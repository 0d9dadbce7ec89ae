"""What a connection has been sent: which rooms, up to where, in what detail. Pure.

A room that matched a rule at the last answer is told up to that answer's position (LIVE), one that did not stays told
up to where it last matched. So this changes only when rooms come and go, or when more is asked of them, and else an
answer writes nothing. Equal contents are one version: its name is a hash of them, so that a request that is repeated
leads to the same.

Spec: MSC4186, "Connections", "Changing room configs".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from hs_workers.sync.sliding.required_state import Element, Selector, Selectors

LIVE: Final = 0
FORMAT: Final = 1


class Sent(NamedTuple):
    """What was sent of a room. `limit`: of the newest events so many were sent, as far as there are."""

    told: int
    limit: int
    required_state: Selectors
    is_dm: bool

    def position(self, live: int) -> int:
        """Up to where the room was told, on a connection whose last answer was at `live`."""
        return live if self.told == LIVE else self.told


@dataclass(frozen=True, slots=True)
class Connection:
    """All that was sent on a connection. `extensions`: those that the last request had."""

    rooms: Mapping[str, Sent] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()


NEW: Final = Connection()


def encode(connection: Connection) -> bytes:
    """As it is stored."""
    wishes: dict[Selectors, int] = {}
    rooms = {
        room_id: (sent.told, sent.limit, wishes.setdefault(sent.required_state, len(wishes)), sent.is_dm)
        for room_id, sent in sorted(connection.rooms.items())
    }
    selectors = [sorted(_plain(selector) for selector in one) for one in wishes]
    return msgspec.msgpack.encode((FORMAT, rooms, selectors, sorted(connection.extensions)))


def decode(body: bytes) -> Connection | None:
    """From its stored form; None for a form of another version of this server, which a client may begin anew from."""
    parts: Any = msgspec.msgpack.decode(body)
    if parts[0] != FORMAT:
        return None
    _, rooms, selectors, extensions = parts
    wishes = [frozenset(_selector(one) for one in each) for each in selectors]
    return Connection(
        {room_id: Sent(told, limit, wishes[wish], is_dm) for room_id, (told, limit, wish, is_dm) in rooms.items()},
        frozenset(extensions),
    )


def version_of(body: bytes) -> str:
    """The name of a version, as in tokens."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


_Plain = tuple[list[list[list[str]]], list[list[list[str]]], bool]


def _plain(selector: Selector) -> _Plain:
    """None becomes an empty list, so that the parts can be sorted."""
    include = [[_maybe(part) for part in element] for element in selector.include]
    exclude = [[_maybe(part) for part in element] for element in selector.exclude]
    return (include, exclude, selector.lazy)


def _maybe(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _selector(plain: Any) -> Selector:
    include, exclude, lazy = plain
    return Selector(tuple(map(_element, include)), tuple(map(_element, exclude)), lazy)


def _element(plain: Any) -> Element:
    event_type, state_key = plain
    return Element(event_type[0] if event_type else None, state_key[0] if state_key else None)
