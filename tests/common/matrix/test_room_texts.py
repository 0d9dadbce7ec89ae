"""Texts in the content of state events, which may be anything."""

from typing import Any

import pytest

from hs_common.matrix.room_texts import plain_topic, text_of


def test_text_is_a_string_or_none() -> None:
    assert text_of({"name": "x"}, "name") == "x"
    assert text_of({"name": 7}, "name") is None
    assert text_of({}, "name") is None


@pytest.mark.parametrize(
    ("content", "topic"),
    [
        ({"topic": "old"}, "old"),
        ({"topic": "old", "m.topic": {"m.text": [{"body": "new"}]}}, "new"),
        ({"topic": "old", "m.topic": {"m.text": [{"mimetype": "text/html", "body": "<b>"}, "x"]}}, "old"),
        ({"topic": "old", "m.topic": {"m.text": [{"body": 7}]}}, "old"),
        ({"topic": "old", "m.topic": {"m.text": 7}}, "old"),
        ({"topic": 7, "m.topic": 7}, None),
        ({}, None),
    ],
)
def test_topic_is_the_plain_text_of_the_new_form_or_the_old(content: dict[str, Any], topic: str | None) -> None:
    assert plain_topic(content) == topic
