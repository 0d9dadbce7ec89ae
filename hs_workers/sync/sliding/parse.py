"""Reads the body of a request: the merged form, and the older one (`parse_unstable`). Pure.

Spec: MSC4186, "Request Body", and its changelog for what the older form has instead.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hs_common.matrix.errors import MatrixError, bad_json, invalid_param
from hs_common.matrix.tokens import SlidingToken, parse_sliding_token
from hs_workers.sync.parameters import PRESENCES
from hs_workers.sync.sliding.question import (
    MAXIMUM_ELEMENTS,
    MAXIMUM_LISTS,
    MAXIMUM_NAME,
    MAXIMUM_NAMES,
    MAXIMUM_SUBSCRIPTIONS,
    MAXIMUM_TIMELINE,
    THREADS,
    Extension,
    Filters,
    Json,
    ListConfig,
    RoomConfig,
    SlidingRequest,
)
from hs_workers.sync.sliding.required_state import MEMBER, Element, Selector, Selectors

EXTENSIONS: Final = ("to_device", "e2ee", "account_data", "receipts", "typing", *THREADS)
LARGEST: Final = 2**53 - 1
OPAQUE: Final = re.compile(r"[0-9A-Za-z._~-]+")
"""Spec: appendices.md#opaque-identifiers; their length is checked apart."""
_Required = Callable[[Any, str], Selectors]


def parse(body: Json, maximum_timeout_ms: int) -> SlidingRequest:
    """The merged form: everything is in the body. Raises M_INVALID_PARAM, M_BAD_JSON."""
    lists = _mapping(body, "lists", MAXIMUM_LISTS)
    return SlidingRequest(
        conn_id=_name(body, "conn_id"),
        pos=pos_of(_string(body, "pos")),
        timeout_s=_timeout(_integer(body, "timeout", 0), maximum_timeout_ms),
        set_presence=presence_of(_string(body, "set_presence")),
        lists={key: _list(key, value) for key, value in lists.items()},
        subscriptions=_subscriptions(body, _required),
        extensions=_extensions(body),
    )


def parse_unstable(
    body: Json, pos: str | None, timeout_ms: int, set_presence: str | None, user_id: str, maximum_timeout_ms: int
) -> SlidingRequest:
    """The older form: some parameters are in the query, lists have ranges, required state is pairs."""

    def required(value: Any, where: str) -> Selectors:
        return _pairs(value, where, user_id)

    lists = _mapping(body, "lists", MAXIMUM_LISTS)
    return SlidingRequest(
        conn_id=_name(body, "conn_id"),
        pos=pos_of(pos if pos is not None else _string(body, "pos")),
        timeout_s=_timeout(timeout_ms, maximum_timeout_ms),
        set_presence=presence_of(set_presence),
        lists={key: _unstable_list(key, value, required) for key, value in lists.items()},
        subscriptions=_subscriptions(body, required),
        extensions=_extensions(body),
        is_unstable=True,
    )


def unknown_pos() -> MatrixError:
    """The connection is not known (any more): the client begins anew."""
    return MatrixError(400, "M_UNKNOWN_POS", "This connection has expired: sync again without pos")


def pos_of(pos: str | None) -> SlidingToken | None:
    """The token; M_UNKNOWN_POS for one that this server never gave out."""
    if pos is None:
        return None
    token = parse_sliding_token(pos)
    if token is None:
        raise unknown_pos()
    return token


def presence_of(value: str | None) -> str:
    """`set_presence`."""
    if value is not None and value not in PRESENCES:
        raise invalid_param(f"set_presence must be one of {', '.join(PRESENCES)}")
    return value or "online"


def _timeout(timeout_ms: int, maximum_timeout_ms: int) -> float:
    if timeout_ms < 0:
        raise invalid_param("timeout must not be negative")
    return min(timeout_ms, maximum_timeout_ms) / 1000


# --- lists and subscriptions ------------------------------------------------------------------------------------------


def _list(key: str, value: Any) -> ListConfig:
    where = _list_name(key)
    if OPAQUE.fullmatch(key) is None:
        raise invalid_param("The name of a list consists of letters, digits and `-._~`")
    keys = _object(value, where)
    ranges = None if keys.get("range") is None else (_range(keys["range"], where),)
    return ListConfig(_config(keys, where, _required), ranges, _filters(keys, where, "is_invited"))


def _unstable_list(key: str, value: Any, required: _Required) -> ListConfig:
    where = _list_name(key)
    keys = _object(value, where)
    ranges = keys.get("ranges")
    if ranges is not None and not (isinstance(ranges, list) and len(ranges) <= MAXIMUM_LISTS):
        raise bad_json(f"`{where}.ranges` must be a list of ranges")
    found = None if ranges is None else tuple(_range(one, where) for one in ranges)
    return ListConfig(_config(keys, where, required), found, _filters(keys, where, "is_invite"))


def _list_name(key: str) -> str:
    if not 0 < len(key) <= MAXIMUM_NAME:
        raise invalid_param(f"The name of a list has 1 to {MAXIMUM_NAME} characters")
    return f"lists.{key}"


def _range(value: Any, where: str) -> tuple[int, int]:
    is_pair = isinstance(value, list) and len(value) == 2 and all(_is_integer(end) for end in value)
    if not is_pair:
        raise bad_json(f"A range of `{where}` must be two whole numbers")
    start, end = value
    if not 0 <= start <= end:
        raise invalid_param(f"A range of `{where}` must not be negative, and end where it begins or later")
    return (start, end)


def _subscriptions(body: Json, required: _Required) -> dict[str, RoomConfig]:
    found = _mapping(body, "room_subscriptions", MAXIMUM_SUBSCRIPTIONS)
    return {room_id: _config(_object(value, room_id[:80]), "room_subscriptions", required)
            for room_id, value in found.items()}  # fmt: skip


def _config(keys: Json, where: str, required: _Required) -> RoomConfig:
    limit = keys.get("timeline_limit", 0)
    if not _is_integer(limit):
        raise bad_json(f"`{where}.timeline_limit` must be a whole number")
    if limit < 0:
        raise invalid_param(f"`{where}.timeline_limit` must not be negative")
    selectors = required(keys.get("required_state"), where)
    return RoomConfig(min(limit, MAXIMUM_TIMELINE), selectors)


def _filters(keys: Json, where: str, invited: str) -> Filters:
    if keys.get("filters") is None:
        return Filters()
    given = _object(keys["filters"], f"{where}.filters")
    return Filters(
        is_dm=_boolean(given, "is_dm"),
        is_encrypted=_boolean(given, "is_encrypted"),
        is_invited=_boolean(given, invited),
        spaces=_names(given, "spaces"),
        room_types=_types(given, "room_types"),
        not_room_types=_types(given, "not_room_types") or frozenset(),
        tags=_names(given, "tags"),
        not_tags=_names(given, "not_tags") or frozenset(),
    )


# --- required state ---------------------------------------------------------------------------------------------------


def _required(value: Any, where: str) -> Selectors:
    if value is None:
        return frozenset()
    keys = _object(value, f"{where}.required_state")
    lazy = _boolean(keys, "lazy_members") or False
    selector = Selector(_elements(keys, "include", where), _elements(keys, "exclude", where), lazy)
    return frozenset((selector,))


def _elements(keys: Json, name: str, where: str) -> tuple[Element, ...]:
    value = keys.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise bad_json(f"`{where}.required_state.{name}` must be a list of objects")
    if len(value) > MAXIMUM_ELEMENTS:
        raise invalid_param(f"`{where}.required_state.{name}` has at most {MAXIMUM_ELEMENTS} entries")
    found = {Element(_string(one, "type"), _string(one, "state_key")) for one in value}
    return tuple(sorted(found, key=_order))


def _pairs(value: Any, where: str, user_id: str) -> Selectors:
    """The older form: [type, state key], `*` for all, `$ME` for the reader, `$LAZY` for lazily loaded members."""
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(_is_pair(pair) for pair in value):
        raise bad_json(f"`{where}.required_state` must be a list of [type, state key]")
    if len(value) > MAXIMUM_ELEMENTS:
        raise invalid_param(f"`{where}.required_state` has at most {MAXIMUM_ELEMENTS} entries")
    lazy = any(tuple(pair) == (MEMBER, "$LAZY") for pair in value)
    found = {
        Element(None if kind == "*" else kind, None if key == "*" else user_id if key == "$ME" else key)
        for kind, key in value
        if key != "$LAZY"
    }
    return frozenset((Selector(tuple(sorted(found, key=_order)), (), lazy),))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _order(element: Element) -> tuple[bool, str, bool, str]:
    """Any order that is always the same: equal wishes are to be equal."""
    return (element.type is None, element.type or "", element.state_key is None, element.state_key or "")


# --- extensions -------------------------------------------------------------------------------------------------------


def _extensions(body: Json) -> dict[str, Extension]:
    """Those that are known and enabled."""
    found = {}
    given = _object(_given(body, "extensions"), "extensions")
    for name in EXTENSIONS:
        keys = _object(_given(given, name), f"extensions.{name}")
        if _boolean(keys, "enabled"):
            limit = keys.get("limit")
            if limit is not None and (not _is_integer(limit) or limit < 1):
                raise invalid_param(f"`extensions.{name}.limit` must be a whole number above 0")
            lists, rooms = _scope(keys, "lists"), _scope(keys, "rooms")
            with_roots = _boolean(keys, "include_roots") or False
            found[name] = Extension(lists, rooms, limit, _string(keys, "since"), with_roots)
    return found


def _scope(keys: Json, name: str) -> frozenset[str] | None:
    """None is everything; the older form says that by `*`."""
    names = _names(keys, name)
    return None if names is None or "*" in names else names


# --- JSON -------------------------------------------------------------------------------------------------------------


def _object(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise bad_json(f"`{where}` must be an object")
    return value


def _given(keys: Json, name: str) -> Any:
    """The value; null is as good as nothing."""
    value = keys.get(name)
    return {} if value is None else value


def _mapping(body: Json, name: str, limit: int) -> Mapping[str, Any]:
    value = _object(_given(body, name), name)
    if len(value) > limit:
        raise invalid_param(f"`{name}` has at most {limit} entries")
    return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _integer(keys: Json, name: str, default: int) -> int:
    value = keys.get(name)
    if value is None:
        return default
    if not _is_integer(value):
        raise bad_json(f"`{name}` must be a whole number")
    number: int = value
    return number


def _string(keys: Json, name: str) -> str | None:
    value = keys.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_json(f"`{name}` must be a string")
    return value


def _name(body: Json, name: str) -> str:
    value = _string(body, name) or ""
    if len(value.encode()) > MAXIMUM_NAME or "\0" in value:
        raise invalid_param(f"`{name}` has at most {MAXIMUM_NAME} bytes and no NUL")
    return value


def _boolean(keys: Json, name: str) -> bool | None:
    value = keys.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_json(f"`{name}` must be true or false")
    return value


def _names(keys: Json, name: str) -> frozenset[str] | None:
    value = keys.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise bad_json(f"`{name}` must be a list of strings")
    if len(value) > MAXIMUM_NAMES:
        raise invalid_param(f"`{name}` has at most {MAXIMUM_NAMES} entries")
    return frozenset(value)


def _types(keys: Json, name: str) -> frozenset[str | None] | None:
    value = keys.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(one is None or isinstance(one, str) for one in value):
        raise bad_json(f"`{name}` must be a list of strings and null")
    if len(value) > MAXIMUM_NAMES:
        raise invalid_param(f"`{name}` has at most {MAXIMUM_NAMES} entries")
    return frozenset(value)
