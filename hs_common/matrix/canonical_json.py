"""Canonical JSON: the one byte sequence of a JSON value, and the checks that a value has one.

Two doors and one fast path. `decode` takes bytes from outside; `check` refuses what canonical JSON cannot express;
`encode` then writes a checked value and checks nothing that would cost time. Sorting by UTF-8 bytes, as the encoder
does, is sorting by code point, as the specification asks.

Duplicate keys of an object: the last one wins, as in most JSON parsers. What we sign, hash, store and send is always
encoded anew, so the other ones reach nobody.

Spec: appendices, #canonical-json.
"""

import json
from typing import Any

import orjson

from hs_common.matrix.errors import MatrixError, bad_json, not_json, too_large
from hs_common.matrix.limits import MAX_INTEGER, MAX_JSON_DEPTH, MAX_JSON_PARTS

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

_lenient_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def encode(value: Any) -> bytes:
    """The canonical JSON of a value that passed `check`, or that was built here of strings, integers and the like.

    Raises TypeError for integers out of range, lone surrogates and foreign types. Floats are *not* noticed.
    """
    return orjson.dumps(value, option=_OPTIONS)


def encode_lenient(value: Any) -> bytes:
    """The bytes for rooms that do not enforce canonical JSON (versions 1 to 5): floats and any integer are written.

    Floats look as the specification's Python example writes them, which is what other servers have hashed. Slower.
    Raises ValueError for NaN, infinities and lone surrogates.
    """
    return _lenient_encoder.encode(value).encode("utf-8")


def check(value: Any, *, refuse_nul: bool = False, max_depth: int = MAX_JSON_DEPTH) -> None:
    """Refuse a value that has no canonical JSON: floats, integers beyond ±(2^53 − 1), lone surrogates, foreign types.

    Also refuses nesting beyond `max_depth` levels of objects and arrays and, if asked, U+0000, which PostgreSQL does
    not store in text. Raises MatrixError 400 M_BAD_JSON.
    """
    level = [value]
    depth = 0
    while level:
        next_level: list[Any] = []
        containers = 0
        for item in level:
            kind = type(item)
            if kind is str:
                _check_string(item, refuse_nul)
            elif kind is dict:
                containers += 1
                for key in item:
                    if type(key) is not str:
                        raise bad_json("Keys of JSON objects must be strings")
                    _check_string(key, refuse_nul)
                next_level.extend(item.values())
            elif kind is list or kind is tuple:
                containers += 1
                next_level.extend(item)
            elif kind is int:
                if not -MAX_INTEGER <= item <= MAX_INTEGER:
                    raise bad_json("Integers must be between -(2^53 - 1) and 2^53 - 1")
            elif kind is not bool and item is not None:
                raise _foreign(item)
        if containers:
            depth += 1
            if depth > max_depth:
                raise bad_json(f"JSON may nest at most {max_depth} levels")
        level = next_level


def decode(data: bytes, max_bytes: int, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """The value of JSON text (UTF-8). It may contain floats: `check` is for where canonical JSON is enforced.

    Integers beyond 64 bits come out as floats. Raises MatrixError: 413 M_TOO_LARGE beyond `max_bytes` and for too many
    values, 400 M_NOT_JSON, 400 M_BAD_JSON beyond `max_depth` levels of nesting.
    """
    if len(data) > max_bytes:
        raise too_large(f"JSON may have at most {max_bytes} bytes")
    # Two bytes of text may become an object of a hundred: what is large must not consist of nothing else.
    if len(data) > MAX_JSON_PARTS and sum(map(data.count, (b"{", b"[", b","))) > MAX_JSON_PARTS:
        raise too_large(f"JSON may have at most {MAX_JSON_PARTS} values")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise not_json() from error
    # Each level costs an opening bracket, so few brackets prove a small depth without a walk.
    if data.count(b"{") + data.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    return value


def _check_string(text: str, refuse_nul: bool) -> None:
    # isascii is a flag of the string, so the usual key or word costs nothing.
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise bad_json("Strings must not contain lone surrogates") from error
    if refuse_nul and "\0" in text:
        raise bad_json("Strings must not contain U+0000")


def _foreign(item: object) -> MatrixError:
    if isinstance(item, float):
        return bad_json("Numbers must be integers")
    return bad_json(f"{type(item).__name__} is not a JSON type")


def _check_depth(value: Any, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth + 1):
        containers = [item for item in level if type(item) is dict or type(item) is list]
        if not containers:
            return
        level = [child for item in containers for child in (item.values() if type(item) is dict else item)]
    raise bad_json(f"JSON may nest at most {max_depth} levels")
