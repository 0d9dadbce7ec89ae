"""`m.mentions`: whom an event means to notify.

Malformed parts are ignored, as a client cannot be told about the events of others. Whether a mentioned user is in the
room is for the caller.

Spec: client-server API, #user-and-room-mentions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# User ids read from one event. 64 KiB could hold thousands, and each becomes a row; who means everybody says `room`.
MAX_USER_IDS = 1000


@dataclass(frozen=True, slots=True)
class Mentions:
    """The users, each once and in the event's order, and whether the whole room is meant."""

    user_ids: tuple[str, ...] = ()
    room: bool = False


NOBODY = Mentions()


def parse_mentions(content: Mapping[str, Any]) -> Mentions:
    """The mentions of an event's content (the clear text if it is encrypted)."""
    mentions = content.get("m.mentions")
    if not isinstance(mentions, Mapping):
        return NOBODY
    listed = mentions.get("user_ids")
    user_ids = [user_id for user_id in listed if isinstance(user_id, str)] if isinstance(listed, list) else []
    return Mentions(tuple(dict.fromkeys(user_ids))[:MAX_USER_IDS], mentions.get("room") is True)
