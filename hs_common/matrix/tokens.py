"""Tokens: a place between two events, as clients carry it from one answer to the next.

- A sync token `s<position>_<to-device>_<ephemeral ms>-<ephemeral seq>` has three numbers, since three streams advance
  independently: the log, the device's inbox, and what is only kept for a while (typing, presence).
- A token of sliding sync `c<position>_<ephemeral>_<version>` names a place in the log, one in what is only kept for a
  while, and what the connection had been sent by then.
- A room token `t<order_pos>_<order_sub>` is the place just after the event with this place in the room's timeline
  (`order_sub` is 0 for live events, negative for history found before one). A token of either sync is accepted wherever
  a room token is, as the place just after (position, 0); the other way round it is not.

Spec: client-server API, #pagination.
"""

import re
from dataclasses import dataclass

from hs_common.matrix.errors import MatrixError, invalid_param

# Positions are PostgreSQL's bigint; a larger number is not a token that we gave out.
_LARGEST = 2**63 - 1

_SYNC = re.compile(r"s([0-9]{1,19})_([0-9]{1,19})_([0-9]{1,19})-([0-9]{1,19})")
_SLIDING = re.compile(r"c([0-9]{1,19})_([0-9]{1,19})_([0-9a-f]{16})")
_ROOM = re.compile(r"t([0-9]{1,19})_(-?[0-9]{1,19})")


@dataclass(frozen=True, slots=True, order=True)
class RoomToken:
    """The place just after (order_pos, order_sub) in a room's timeline. Ordered as the timeline is."""

    order_pos: int
    order_sub: int = 0

    def __str__(self) -> str:
        return f"t{self.order_pos}_{self.order_sub}"

    @classmethod
    def before(cls, order_pos: int, order_sub: int = 0) -> "RoomToken":
        """The place just before an event: no event can stand between the two."""
        return cls(order_pos, order_sub - 1)


@dataclass(frozen=True, slots=True)
class SyncToken:
    """How far a client has read the log, its device's inbox, and the ephemeral stream (milliseconds, sequence).

    Not ordered: two tokens may be ahead of each other in different streams.
    """

    position: int
    to_device: int = 0
    ephemeral: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"s{self.position}_{self.to_device}_{self.ephemeral[0]}-{self.ephemeral[1]}"

    def room_token(self) -> RoomToken:
        """The same place in any room's timeline: after all live events up to the position."""
        return RoomToken(self.position, 0)


@dataclass(frozen=True, slots=True)
class SlidingToken:
    """The `pos` of sliding sync. `version` identifies what the connection has been sent."""

    position: int
    ephemeral: int
    version: str

    def __str__(self) -> str:
        return f"c{self.position}_{self.ephemeral}_{self.version}"

    def room_token(self) -> RoomToken:
        """The same place in any room's timeline."""
        return RoomToken(self.position, 0)


def parse_sliding_token(token: str) -> SlidingToken | None:
    """The `pos` of sliding sync; None for what is none."""
    parsed = _SLIDING.fullmatch(token)
    if parsed is None:
        return None
    position, ephemeral = int(parsed[1]), int(parsed[2])
    return SlidingToken(position, ephemeral, parsed[3]) if max(position, ephemeral) <= _LARGEST else None


def parse_sync_token(token: str) -> SyncToken:
    """The `since` of /sync, the `from` and `to` of /keys/changes. Raises M_INVALID_PARAM."""
    numbers = _numbers(_SYNC, token)
    if numbers is None:
        raise _invalid(token, "a next_batch of /sync")
    position, to_device, milliseconds, sequence = numbers
    return SyncToken(position, to_device, (milliseconds, sequence))


def parse_room_token(token: str) -> RoomToken:
    """A token of /messages, /context, /relations, /threads or /members, or one of a sync. Raises M_INVALID_PARAM."""
    numbers = _numbers(_ROOM, token)
    if numbers is not None:
        return RoomToken(*numbers)
    if _numbers(_SYNC, token) is not None:
        return parse_sync_token(token).room_token()
    sliding = parse_sliding_token(token)
    if sliding is not None:
        return sliding.room_token()
    raise _invalid(token, "a token of this room or a next_batch of /sync")


def _numbers(form: re.Pattern[str], token: str) -> tuple[int, ...] | None:
    parsed = form.fullmatch(token)
    if parsed is None:
        return None
    numbers = tuple(int(number) for number in parsed.groups())
    return numbers if all(abs(number) <= _LARGEST for number in numbers) else None


def _invalid(token: str, expected: str) -> MatrixError:
    # The token is echoed so that a client's log shows what it sent, but not at any length.
    return invalid_param(f"{token[:80]!r} is not a token of this server; expected {expected}")
