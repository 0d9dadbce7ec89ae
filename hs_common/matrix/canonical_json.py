"""Canonical JSON: the one byte sequence of a JSON value, and the checks that a value has one.

Spec: appendices, #canonical-json.
"""

from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def encode(value: Any) -> bytes:
    """The canonical JSON of a value."""
    return orjson.dumps(value, option=_OPTIONS)
