"""Bytes of a page as text, and text as something that a client can show in a line. Pure."""

import codecs
import re
from typing import Final

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED: Final = re.compile(rb"""<meta\b[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_CHARSET: Final = re.compile(r"""charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
DECLARED_WITHIN: Final = 2_048
"""Bytes; HTML wants it within the first 1024."""
_UNSEEN: Final = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f"
    "\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff\\ufff9-\\ufffb]"
)
"""Controls, and what turns the direction of the text after it."""


def decoded(body: bytes, content_type: str) -> str:
    """The text: as its mark says, or the header, or the page itself; else UTF-8. What is wrong is replaced."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    said = _CHARSET.search(content_type)
    found = _DECLARED.search(body, 0, DECLARED_WITHIN)
    name = said[1] if said is not None else found[1].decode("ascii") if found is not None else "utf-8"
    try:
        codec = codecs.lookup(name)
        if not codec._is_text_encoding:
            return body.decode("utf-8", "replace")
        return body.decode(codec.name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return body.decode("utf-8", "replace")


def plain(text: str, limit: int) -> str:
    """In one line, without what is not seen, at most so many characters; cut between words where there are any."""
    line = " ".join(_UNSEEN.sub("", text[: 8 * limit].encode("utf-8", "replace").decode()).split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"
