"""How a browser is told to treat a file: shown in place only if its type cannot run scripts, and under which name.

Pure. Spec: client-server-api/#serving-inline-content; RFC 6266 for the header.
"""

import re
from typing import Final
from urllib.parse import quote

UNKNOWN_TYPE: Final = "application/octet-stream"
CONTENT_TYPE_LIMIT: Final = 255
"""The longest that is kept: twice what media types and their parameters take in practice."""

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
