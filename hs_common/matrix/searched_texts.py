"""The texts of events by which they are searched. Pure.

Spec: client-server API, #room_events.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hs_common.matrix.room_texts import plain_topic, text_of

MAXIMUM_LENGTH: Final = 8_000
"""Characters of a text that are searched: some pages. It bounds what a message costs whoever writes it."""
BODY: Final = "content.body"
NAME: Final = "content.name"
TOPIC: Final = "content.topic"
KEYS: Final[tuple[str, ...]] = (BODY, NAME, TOPIC)
"""The keys that a search may name; their places here are their numbers in the table."""
# Nobody searches for them, and PostgreSQL's limit of a word is 2 KiB.
_LONG_WORDS: Final = re.compile(r"\S{500,}")


class SearchedText(NamedTuple):
    """A text, and the number of its key."""

    key: int
    text: str


def searched_text(event_type: str, state_key: str | None, content: Mapping[str, Any]) -> SearchedText | None:
    """What an event is found by; None for nothing."""
    if event_type == "m.room.message" and state_key is None:
        return _searched(BODY, text_of(content, "body"))
    if event_type == "m.room.name" and state_key == "":
        return _searched(NAME, text_of(content, "name"))
    if event_type == "m.room.topic" and state_key == "":
        texts = dict.fromkeys(text for text in (plain_topic(content), text_of(content, "topic")) if text)
        return _searched(TOPIC, " ".join(texts))
    return None


def _searched(key: str, text: str | None) -> SearchedText | None:
    if not text:
        return None
    cut = text[:MAXIMUM_LENGTH]
    return SearchedText(KEYS.index(key), _LONG_WORDS.sub(" ", cut).replace("\0", " "))
