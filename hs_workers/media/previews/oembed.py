"""What an oEmbed answer says of a page, as OpenGraph properties. Pure. https://oembed.com"""

import json
from typing import Any, Final

from hs_workers.media.previews.page import TITLE_LIMIT, Page, absolute
from hs_workers.media.previews.plain_text import plain

ANSWER_LIMIT_BYTES: Final = 256 * 1024
DEPTH_LIMIT: Final = 32
"""Answers are flat."""


def read_oembed(body: bytes, url: str) -> Page | None:
    """The page that is told of at that URL; None for what is no oEmbed."""
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT:
        return None
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    properties = {
        "og:title": _text(answer, "title"),
        "og:site_name": _text(answer, "provider_name"),
        "og:type": "video.other" if answer.get("type") == "video" else "",
        "og:description": _text(answer, "author_name"),
    }
    picture = answer.get("url") if answer.get("type") == "photo" else answer.get("thumbnail_url")
    image = absolute(url, picture) if isinstance(picture, str) else None
    return Page({name: value for name, value in properties.items() if value}, image)


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    return plain(value, TITLE_LIMIT) if isinstance(value, str) else ""
