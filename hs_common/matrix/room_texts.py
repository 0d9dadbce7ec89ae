"""Texts in the content of state events, which may be anything. Pure."""

from collections.abc import Mapping
from typing import Any


def text_of(content: Mapping[str, Any], key: str) -> str | None:
    """The string under a key, None for whatever else is there."""
    value = content.get(key)
    return value if isinstance(value, str) else None


def plain_topic(content: Mapping[str, Any]) -> str | None:
    """The plain text of a topic: of `m.topic` if there is one, else of `topic`. Spec: #mroomtopic."""
    block = content.get("m.topic")
    texts = block.get("m.text") if isinstance(block, dict) else None
    for text in texts if isinstance(texts, list) else ():
        if isinstance(text, dict) and text.get("mimetype", "text/plain") == "text/plain":
            body = text.get("body")
            if isinstance(body, str):
                return body
    topic = content.get("topic")
    return topic if isinstance(topic, str) else None
