"""Whose events are kept from whom once a user has asked for his content to be erased. Pure.

Who knew an event by then goes on seeing it; others get it as if it were redacted, though it is not. That is for what
the user said and for his own memberships: the rest of a room's state is the room's, and it would lose its name.

Spec: client-server API, #post_matrixclientv3accountdeactivate (`erase`).
"""

from collections.abc import Iterable
from typing import Final

from hs_common.matrix.history_visibility import Row

_REDACTION: Final = "m.room.redaction"


def is_personal(event_type: str, state_key: str | None, sender: str) -> bool:
    """Whether an event of an erased user is kept from who did not know it."""
    if state_key is None:
        return event_type != _REDACTION
    return event_type == "m.room.member" and state_key == sender


def knew(memberships: Iterable[Row], order_pos: int, erased_pos: int) -> bool:
    """Whether somebody with these memberships was in the room at some time from the event until the erasure."""
    return any(
        membership == "join" and from_pos <= erased_pos and to_pos > order_pos
        for from_pos, to_pos, membership in memberships
    )
