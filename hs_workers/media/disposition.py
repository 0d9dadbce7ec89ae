"""How a browser is told to treat a file: shown in place only if its type cannot run scripts, and under which name; and
which name another server tells of one.

Pure. Spec: client-server-api/#serving-inline-content; RFC 6266 for the header.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

UNKNOWN_TYPE: Final = "application/octet-stream"
CONTENT_TYPE_LIMIT: Final = 255
"""The longest that is kept: twice what media types and their parameters take in practice."""

FILE_NAME_LIMIT: Final = 1024
"""Characters; file systems have 255."""

INLINE_TYPES: Final = frozenset(
    (
        "text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
        "image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
        "video/mp4", "video/webm", "video/ogg", "video/quicktime",
        "audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav", "audio/x-wav",
        "audio/x-pn-wav", "audio/flac", "audio/x-flac",
    )
)  # fmt: skip

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_CONTENT_TYPE: Final = re.compile(rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*[ \t]*;?')
_NAME_EXTENDED: Final = re.compile(r"""filename\*\s*=\s*utf-8'[A-Za-z0-9-]{0,20}'([^\s;"]+)""", re.IGNORECASE)
_NAME_QUOTED: Final = re.compile(r"""filename\s*=\s*"((?:[^"\\]|\\.)*)\"""", re.IGNORECASE)
_NAME_BARE: Final = re.compile(r"""filename\s*=\s*([^\s;"]+)""", re.IGNORECASE)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9 !#$&'()+,.=@^_`{}~-]+")


def kept_content_type(header: str | None) -> str:
    """The type that a file is kept under: what its uploader said, if that is a media type at all."""
    header = (header or "").strip()
    if len(header) > CONTENT_TYPE_LIMIT or _CONTENT_TYPE.fullmatch(header) is None:
        return UNKNOWN_TYPE
    return header


def essence(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def content_disposition(content_type: str, file_name: str | None) -> str:
    """The header. A name that is not plain ASCII is percent-encoded, so that no character of it can end the header."""
    kind = "inline" if essence(content_type) in INLINE_TYPES else "attachment"
    if not file_name:
        return kind
    if _PLAIN_NAME.fullmatch(file_name):
        return f'{kind}; filename="{file_name}"'
    return f"{kind}; filename*=UTF-8''{quote(file_name, safe='')}"


def file_name_of(header: str | None) -> str | None:
    """The name in a Content-Disposition header, as bytes were read as Latin-1; None if it has none."""
    header = (header or "")[: 8 * FILE_NAME_LIMIT]
    if (match := _NAME_EXTENDED.search(header)) is not None:
        name = unquote(match[1], errors="replace")
    elif (match := _NAME_QUOTED.search(header)) is not None:
        name = _as_utf8(re.sub(r"\\(.)", r"\1", match[1]))
    elif (match := _NAME_BARE.search(header)) is not None:
        name = _as_utf8(match[1])
    else:
        return None
    return name.replace("\0", "")[:FILE_NAME_LIMIT] or None


def _as_utf8(text: str) -> str:
    """Many send UTF-8 where the standard has Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
