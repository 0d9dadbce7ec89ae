"""Contents of events as clients give them, refused at the door where no event can be made of them.

Spec: client-server API, #size-limits; appendices, #canonical-json.
"""

from typing import Any

from hs_common.http.request import Request
from hs_common.matrix.canonical_json import check, encode
from hs_common.matrix.errors import bad_json, too_large
from hs_common.matrix.limits import MAX_EVENT_BYTES, MAX_ID_BYTES

Content = dict[str, Any]


def content_of(request: Request) -> Content:
    """The body as an event's content. 400 `M_NOT_JSON`, `M_BAD_JSON`; 413 `M_TOO_LARGE`."""
    content = request.json()
    check_content(content)
    return content


def check_content(content: Content) -> None:
    """413 `M_TOO_LARGE`; 400 `M_BAD_JSON` for floats, large integers, NUL and lone surrogates, in all rooms.

    The size goes first: encoding is cheap, while the other checks walk through every value.
    """
    if _is_too_large(content):
        raise too_large(f"An event has at most {MAX_EVENT_BYTES} bytes")
    check(content, refuse_nul=True)


def _is_too_large(content: Content) -> bool:
    try:
        return len(encode(content)) > MAX_EVENT_BYTES
    except TypeError:
        return False  # what cannot be encoded is refused by `check`


def check_type(event_type: str) -> str:
    """An event type or a state key that can be stored. 400 `M_BAD_JSON`, 413 `M_TOO_LARGE`."""
    if "\0" in event_type:
        raise bad_json("NUL is not allowed")
    if len(event_type.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise too_large(f"Types and state keys of events have at most {MAX_ID_BYTES} bytes")
    return event_type
