"""Parts of answers that are bytes already, put together without being decoded again."""

from collections.abc import Iterable

import orjson


def array(encoded: Iterable[bytes]) -> orjson.Fragment:
    """A JSON array of encoded values."""
    return orjson.Fragment(b"[" + b",".join(encoded) + b"]")
