"""What events are found by."""

from typing import Any

import pytest

from hs_common.matrix.searched_texts import MAXIMUM_LENGTH, searched_text


@pytest.mark.parametrize(
    ("event_type", "state_key", "content", "found"),
    [
        ("m.room.message", None, {"body": "hello"}, (0, "hello")),
        ("m.room.message", "", {"body": "hello"}, None),
        ("m.room.message", None, {"body": 7}, None),
        ("m.room.message", None, {}, None),
        ("m.room.encrypted", None, {"body": "hello"}, None),
        ("m.room.name", "", {"name": "Lounge"}, (1, "Lounge")),
        ("m.room.name", "x", {"name": "Lounge"}, None),
        ("m.room.topic", "", {"topic": "tea"}, (2, "tea")),
        ("m.room.topic", "", {"topic": "tea", "m.topic": {"m.text": [{"body": "tea"}]}}, (2, "tea")),
        ("m.room.topic", "", {"topic": "tea", "m.topic": {"m.text": [{"body": "coffee"}]}}, (2, "coffee tea")),
        ("m.room.topic", "", {}, None),
    ],
)
def test_messages_names_and_topics_are_found(event_type: str, state_key: Any, content: Any, found: Any) -> None:
    assert searched_text(event_type, state_key, content) == found


def test_texts_are_bounded_and_words_that_nobody_types_left_out() -> None:
    text = searched_text("m.room.message", None, {"body": "a\0b " + "x" * 600 + " end " + "y z" * MAXIMUM_LENGTH})
    assert text is not None
    assert text.text.startswith("a b   end ")
    assert len(text.text) <= MAXIMUM_LENGTH
