"""What a profile field may be called and hold.

Spec: client-server API, #profiles, #put_matrixclientv3profileuseridkeyname.
"""

import re
from typing import Any, Final

import orjson

from hs_common.matrix.errors import MatrixError, bad_json, invalid_param, missing_param
from hs_common.matrix.identifiers import parse_mxc_uri
from hs_common.matrix.limits import MAX_ID_BYTES

DISPLAY_NAME: Final = "displayname"
AVATAR_URL: Final = "avatar_url"
TIME_ZONE: Final = "m.tz"

PROFILE_LIMIT_BYTES: Final = 64 * 1024
"""(spec) Of a whole profile."""
DISPLAY_NAME_LIMIT: Final = 256
"""Characters. The name is copied into each membership event of its user."""
AVATAR_URL_LIMIT: Final = 1000
"""Characters; copied likewise."""
TIME_ZONE_LIMIT: Final = 64
"""Characters; the longest name of the time zone database has 32."""

_FIELD = re.compile(r"avatar_url|displayname|m\.tz|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def check_field(field: str) -> None:
    """400 `M_KEY_TOO_LARGE` or `M_INVALID_PARAM`."""
    if len(field.encode()) > MAX_ID_BYTES:
        raise MatrixError(400, "M_KEY_TOO_LARGE", f"The name of a profile field has at most {MAX_ID_BYTES} bytes")
    if _FIELD.fullmatch(field) is None:
        raise invalid_param("Not a valid name of a profile field")


def field_value(field: str, body: dict[str, Any]) -> bytes | None:
    """The value to keep, as JSON. None: the field is to be removed, which is what clients mean by an empty name."""
    if field not in body:
        raise missing_param(f"`{field}` is missing")
    value = body[field]
    if field in (DISPLAY_NAME, AVATAR_URL) and value in ("", None):
        return None
    if field in _CHECKS:
        _CHECKS[field](value)
    encoded = orjson.dumps(value)
    if len(encoded) + len(field) > PROFILE_LIMIT_BYTES:
        raise MatrixError(400, "M_PROFILE_TOO_LARGE", f"A profile has at most {PROFILE_LIMIT_BYTES} bytes")
    return encoded


def _check_display_name(value: object) -> None:
    _check_text(value, DISPLAY_NAME, DISPLAY_NAME_LIMIT)


def _check_avatar_url(value: object) -> None:
    _check_text(value, AVATAR_URL, AVATAR_URL_LIMIT)
    parse_mxc_uri(value)


def _check_time_zone(value: object) -> None:
    _check_text(value, TIME_ZONE, TIME_ZONE_LIMIT)


def _check_text(value: object, field: str, limit: int) -> None:
    if not isinstance(value, str):
        raise bad_json(f"`{field}` must be a string")
    if len(value) > limit or "\0" in value:
        raise invalid_param(f"`{field}` has at most {limit} characters, none of them U+0000")


_CHECKS: Final = {DISPLAY_NAME: _check_display_name, AVATAR_URL: _check_avatar_url, TIME_ZONE: _check_time_zone}
