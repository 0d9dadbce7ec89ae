"""Values out of request bodies whose keys are all optional, or whose errors come in an order of their own."""

from typing import Any

from hs_common.matrix.errors import bad_json, missing_param


def optional_string(body: dict[str, Any], key: str) -> str | None:
    """A string or None; `null` is as good as missing. 400 `M_BAD_JSON` for other types."""
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise bad_json(f"`{key}` must be a string")
    return value


def string(body: dict[str, Any], key: str) -> str:
    """A string. 400 `M_MISSING_PARAM` or `M_BAD_JSON`."""
    value = optional_string(body, key)
    if value is None:
        raise missing_param(f"`{key}` is missing")
    return value


def boolean(body: dict[str, Any], key: str, default: bool = False) -> bool:
    """A boolean; `null` is as good as missing. 400 `M_BAD_JSON` for other types."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_json(f"`{key}` must be a boolean")
    return value
