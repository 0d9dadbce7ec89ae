"""Which media an event shows. Pure.

Only where clients look for them, so that nobody has other people's media quarantined by writing their address.
"""

from typing import Any, Final

import orjson

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import parse_mxc_uri

_PLACES: Final = (
    ("url",),
    ("file", "url"),
    ("info", "thumbnail_url"),
    ("info", "thumbnail_file", "url"),
    ("avatar_url",),
)

Key = tuple[str, str]
"""Server name and media id."""


def media_of_event(json: str) -> list[Key]:
    """Of an event as it is stored."""
    content: Any = orjson.loads(json).get("content")
    found = []
    for place in _PLACES:
        value = content
        for name in place:
            value = value.get(name) if isinstance(value, dict) else None
        key = key_of(value)
        if key is not None:
            found.append(key)
    return found


def key_of(uri: object) -> Key | None:
    """Server name and id of a content URI; None for anything else."""
    try:
        return parse_mxc_uri(uri)
    except MatrixError:
        return None
