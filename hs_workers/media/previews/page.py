"""What a page says of itself: its OpenGraph properties, or else what its title, description and text are good for.

Pure. The page is hostile: nothing here builds a tree, each loop goes once over the text or ends after a fixed number of
steps, and only so much of each value is kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from itertools import islice
from typing import Final
from urllib.parse import urljoin

from hs_workers.media.previews.plain_text import plain

TAGS_LIMIT: Final = 2_000
"""Tags of interest that are looked at; pages that are meant to be previewed have their own within the first hundred."""
TAG_LIMIT: Final = 8_192
"""Characters of one tag."""
ATTRIBUTES_LIMIT: Final = 30
PROPERTIES_LIMIT: Final = 50
PARAGRAPHS_LIMIT: Final = 30
PARAGRAPH_LIMIT: Final = 4_000
TITLE_LIMIT: Final = 300
VALUE_LIMIT: Final = 1_000
URL_LIMIT: Final = 2_000
DESCRIPTION_WORDS: Final = 300
"""Characters of text that stand in for a description."""

_DROPPED: Final = re.compile(r"<(?:!--|(script|style|svg|noscript|template|iframe)(?=[\s/>]))", re.IGNORECASE)
_ENDS: Final = {
    name: re.compile(f"</{name}\\s*>", re.IGNORECASE)
    for name in ("script", "style", "svg", "noscript", "template", "iframe")
}
_WANTED: Final = re.compile(r"<(meta|link|title|body)(?=[\s/>])", re.IGNORECASE)
_PARAGRAPH: Final = re.compile(r"<p(?=[\s>])[^<>]*>", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"""[\s/]*([^\s=>/"'<]{1,64})\s*(?:=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")
_TAG: Final = re.compile(r"<[^<>]*>")
_PROPERTY: Final = re.compile(r"og:[a-z_]{1,30}(?::[a-z_]{1,30}){0,2}")
_URLS: Final = frozenset(
    ["og:url", "og:image", "og:video", "og:audio"]
    + [f"og:{kind}:{what}" for kind in ("image", "video", "audio") for what in ("url", "secure_url")]
)
_FALLBACKS: Final = {
    "twitter:title": "og:title",
    "twitter:description": "og:description",
    "twitter:image": "og:image",
    "twitter:image:src": "og:image",
    "description": "og:description",
    "image": "og:image",
}


@dataclass(slots=True)
class Page:
    """`properties` have no picture; `image` is its URL, `oembed` where the page can be had as oEmbed."""

    properties: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    oembed: str | None = None


def read_page(html: str, url: str) -> Page:
    """The page at that URL."""
    text = _without_what_is_not_shown(html)
    page, fallbacks, title = Page(), dict[str, str](), ""
    body_begins = 0
    for match in islice(_WANTED.finditer(text), TAGS_LIMIT):
        name = match[1].lower()
        if name == "title" and not title:
            title = text[match.end() : match.end() + 4 * TITLE_LIMIT].partition(">")[2].partition("<")[0]
        elif name == "body":
            body_begins = body_begins or match.end()
        elif name == "meta":
            _note_property(page, fallbacks, dict(_attributes(text, match.end())))
        elif name == "link":
            _note_link(page, fallbacks, dict(_attributes(text, match.end())))
    for name, value in fallbacks.items():
        page.properties.setdefault(name, value)
    page.properties.setdefault("og:title", plain(unescape(title), TITLE_LIMIT))
    page.properties.setdefault("og:description", _first_text(text, body_begins))
    page.image = absolute(url, page.properties.get("og:image:secure_url") or page.properties.get("og:image"))
    page.oembed = absolute(url, page.oembed)
    page.properties = {name: value for name, value in page.properties.items() if value and _is_shown(name, value)}
    return page


def absolute(base: str, reference: str | None) -> str | None:
    """The URL that a page means, if it is one of the web."""
    try:
        url = urljoin(base, (reference or "").strip()).partition("#")[0]
    except ValueError:
        return None
    return url if reference and url.startswith(("http://", "https://")) and len(url) <= URL_LIMIT else None


def _is_shown(name: str, value: str) -> bool:
    """Pictures are shown as ours; a link must lead to the web, so that nothing runs when it is followed."""
    if name.startswith("og:image"):
        return False
    return name not in _URLS or value.startswith(("http://", "https://"))


def _value(name: str, content: str) -> str:
    """As it is kept: a link whole or not at all."""
    value = unescape(content)
    if name in _URLS:
        return value.strip() if len(value) <= URL_LIMIT else ""
    return plain(value, TITLE_LIMIT if name == "og:title" else VALUE_LIMIT)


def _note_property(page: Page, fallbacks: dict[str, str], tag: dict[str, str]) -> None:
    name = (tag.get("property") or tag.get("name") or tag.get("itemprop") or "").strip().lower()
    value = tag.get("content", "")
    if _PROPERTY.fullmatch(name):
        if len(page.properties) < PROPERTIES_LIMIT:
            page.properties.setdefault(name, _value(name, value))
    elif name in _FALLBACKS:
        fallbacks.setdefault(_FALLBACKS[name], _value(_FALLBACKS[name], value))


def _note_link(page: Page, fallbacks: dict[str, str], tag: dict[str, str]) -> None:
    relations, target = tag.get("rel", "").lower().split(), unescape(tag.get("href", ""))
    if "image_src" in relations:
        fallbacks.setdefault("og:image", target)
    elif "alternate" in relations and tag.get("type", "").lower().strip() == "application/json+oembed":
        page.oembed = page.oembed or target


def _attributes(text: str, begin: int) -> Iterator[tuple[str, str]]:
    """Of the tag whose name ends there. The first of two of the same name counts, as in browsers: they come last."""
    found: list[tuple[str, str]] = []
    end = min(len(text), begin + TAG_LIMIT)
    for _ in range(ATTRIBUTES_LIMIT):
        match = _ATTRIBUTE.match(text, begin, end)
        if match is None:
            break
        begin = match.end()
        found.append((match[1].lower(), next((value for value in match.groups()[1:] if value is not None), "")))
    return reversed(found)


def _without_what_is_not_shown(html: str) -> str:
    """The text without comments, scripts and the like; what is never closed goes to the end."""
    kept, at = [], 0
    while (match := _DROPPED.search(html, at)) is not None:
        kept.append(html[at : match.start()])
        if match[1] is None:
            end = html.find("-->", match.end())
            at = end + 3 if end >= 0 else len(html)
        else:
            closed = _ENDS[match[1].lower()].search(html, match.end())
            at = closed.end() if closed is not None else len(html)
    kept.append(html[at:])
    return "".join(kept)


def _first_text(text: str, begin: int) -> str:
    """The beginning of the first paragraphs that say something."""
    words, size = [], 0
    for match in islice(_PARAGRAPH.finditer(text, begin), PARAGRAPHS_LIMIT):
        raw = text[match.end() : match.end() + PARAGRAPH_LIMIT]
        end = raw.lower().find("</p")
        paragraph = plain(unescape(_TAG.sub(" ", raw[:end] if end >= 0 else raw.partition("<p")[0])), VALUE_LIMIT)
        if len(paragraph) >= 40:
            words.append(paragraph)
            size += len(paragraph)
        if size >= DESCRIPTION_WORDS:
            break
    return plain(" ".join(words), DESCRIPTION_WORDS)
