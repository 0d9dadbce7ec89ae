"""What a notification by email says: the rooms, and of each what was said last. Pure.

What nobody but the members can read, or the operator wants to keep out of mails, is not told, only that it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hs_workers.push.notification import PushedEvent

ROOMS_LIMIT: Final = 20
"""Of one mail; the others come with the next."""
LINES_LIMIT: Final = 10
"""Of one room: the newest, and how many there are before."""
TEXT_LIMIT: Final = 300
"""Characters of a message."""
NAME_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class RoomText:
    """One room's part of a mail."""

    name: str
    link: str
    earlier: int
    lines: list[dict[str, str]]
    count: int


def room_text(events: Sequence[PushedEvent], *, link_base: str, include_content: bool) -> RoomText:
    """Of the unread events of a room, in their order; at least one."""
    last = events[-1]
    senders = list(dict.fromkeys(_sender(event) for event in events))
    name = last.room_name or last.room_alias or ", ".join(senders[:3])
    lines = [{"sender": _sender(event), "text": _text(event, include_content)} for event in events[-LINES_LIMIT:]]
    link = link_base + quote(last.room_id, safe="!:")
    return RoomText(_line(name, NAME_LIMIT), link, max(0, len(events) - LINES_LIMIT), lines, len(events))


def subject(rooms: Sequence[RoomText]) -> str:
    """In one line: how much, and where."""
    count = sum(room.count for room in rooms)
    what = "1 unread message" if count == 1 else f"{count} unread messages"
    return f"{what} in {rooms[0].name}" if len(rooms) == 1 else f"{what} in {len(rooms)} rooms"


def _sender(event: PushedEvent) -> str:
    return _line(event.sender_display_name or event.sender, NAME_LIMIT)


def _text(event: PushedEvent, include_content: bool) -> str:
    if event.type == "m.room.member":
        return "invites you"
    if event.type == "m.room.encrypted":
        return "sent an encrypted message"
    body: Any = event.content.get("body") if include_content else None
    return _line(body, TEXT_LIMIT) if isinstance(body, str) and body.strip() else "sent a message"


def _line(text: str, limit: int) -> str:
    """In one line, without what could make a mail look like another."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
