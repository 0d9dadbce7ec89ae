"""What a client may set as a pusher: the body of /pushers/set, read and checked.

Spec: client-server API, #post_matrixclientv3pushersset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from hs_common.matrix.errors import MatrixError, bad_json, invalid_param, missing_param

HTTP: Final = "http"
EMAIL: Final = "email"
EMAIL_APP_ID: Final = "m.email"
NOTIFY_PATH: Final = "/_matrix/push/v1/notify"

APP_ID_LIMIT: Final = 64  # characters
PUSHKEY_LIMIT_BYTES: Final = 512
# Of names, the language and the profile tag: each is shown in a list or sent with each push.
TEXT_LIMIT: Final = 255
# Of `data` as JSON: it is sent with each push. What clients put there is a line.
DATA_LIMIT_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class PusherKey:
    """Which pusher of a user is meant."""

    app_id: str
    pushkey: str


@dataclass(frozen=True, slots=True)
class WantedPusher:
    """A pusher to set. `append`: others who have the same key keep theirs."""

    key: PusherKey
    kind: str
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: Mapping[str, Any]
    append: bool


def parse_pusher(body: Mapping[str, Any], *, allows_http: bool = False) -> PusherKey | WantedPusher:
    """What is to be set, or only the key of what is to be deleted (`kind` is null).

    `allows_http`: gateways may be without TLS and under other paths, for trying things out on one machine.
    Raises M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM.
    """
    _require(body, ("app_id", "pushkey"))
    if "kind" not in body:
        raise missing_param("Missing parameters: kind")
    key = PusherKey(_text(body, "app_id", APP_ID_LIMIT), _pushkey(body))
    if body["kind"] is None:
        return key
    _require(body, ("app_display_name", "device_display_name", "lang", "data"))
    kind, data = _text(body, "kind", TEXT_LIMIT), _data(body)
    if kind == HTTP:
        _check_url(data.get("url"), allows_http)
    elif kind != EMAIL:
        raise invalid_param("A pusher's `kind` is `http` or `email`, or null to delete it")
    elif key.app_id != EMAIL_APP_ID:
        raise invalid_param(f"The `app_id` of an email pusher is `{EMAIL_APP_ID}`")
    append = body.get("append")
    if append is not None and not isinstance(append, bool):
        raise bad_json("`append` must be a boolean")
    return WantedPusher(
        key,
        kind,
        _text(body, "app_display_name", TEXT_LIMIT),
        _text(body, "device_display_name", TEXT_LIMIT),
        None if body.get("profile_tag") is None else _text(body, "profile_tag", TEXT_LIMIT),
        _text(body, "lang", TEXT_LIMIT),
        data,
        append is True,
    )


def _require(body: Mapping[str, Any], names: tuple[str, ...]) -> None:
    missing = [name for name in names if body.get(name) is None]
    if missing:
        raise missing_param(f"Missing parameters: {', '.join(missing)}")


def _text(body: Mapping[str, Any], name: str, limit: int) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise bad_json(f"`{name}` must be a string")
    if len(value) > limit or "\0" in value:
        raise invalid_param(f"`{name}` has at most {limit} characters, none of them U+0000")
    return value


def _pushkey(body: Mapping[str, Any]) -> str:
    value = _text(body, "pushkey", PUSHKEY_LIMIT_BYTES)
    if len(value.encode()) > PUSHKEY_LIMIT_BYTES:
        raise invalid_param(f"`pushkey` has at most {PUSHKEY_LIMIT_BYTES} bytes")
    return value


def _data(body: Mapping[str, Any]) -> Mapping[str, Any]:
    data = body["data"]
    if not isinstance(data, dict):
        raise bad_json("`data` must be an object")
    encoded = orjson.dumps(data)
    if len(encoded) > DATA_LIMIT_BYTES or b"\\u0000" in encoded:
        raise invalid_param(f"`data` has at most {DATA_LIMIT_BYTES} bytes, none of them U+0000")
    return data


def _check_url(url: object, allows_http: bool) -> None:
    if url is None:
        raise missing_param("`data` of an http pusher must have a `url`")
    if not isinstance(url, str):
        raise bad_json("`url` must be a string")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and url.isascii() and url.isprintable() and " " not in url
        _ = parts.port  # raises for what is no number
    except ValueError as error:
        raise _wrong_url() from error
    if not has_host or parts.username is not None or parts.password is not None or parts.fragment:
        raise _wrong_url()
    if allows_http and parts.scheme in ("http", "https"):
        return
    if parts.scheme != "https" or parts.path != NOTIFY_PATH:
        raise _wrong_url()


def _wrong_url() -> MatrixError:
    return invalid_param(f"`url` must be an https URL of a push gateway, with the path {NOTIFY_PATH}")
