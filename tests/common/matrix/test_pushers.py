"""The body of /pushers/set: what is taken, what is refused and how."""

from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.pushers import PusherKey, WantedPusher, parse_pusher

URL = "https://push.example.org/_matrix/push/v1/notify"
BODY: dict[str, Any] = {
    "app_id": "org.app",
    "pushkey": "key",
    "kind": "http",
    "app_display_name": "App",
    "device_display_name": "Phone",
    "lang": "en",
    "data": {"url": URL, "format": "event_id_only", "custom": [1.5]},
}


def refused(**changes: Any) -> str:
    with pytest.raises(MatrixError) as caught:
        parse_pusher({**BODY, **changes})
    assert caught.value.status == 400
    return caught.value.errcode


def test_a_pusher_is_read() -> None:
    wanted = parse_pusher({**BODY, "append": True, "profile_tag": "tag"})
    assert isinstance(wanted, WantedPusher)
    assert (wanted.key, wanted.data, wanted.append) == (PusherKey("org.app", "key"), BODY["data"], True)
    assert parse_pusher(BODY) == WantedPusher(wanted.key, "http", "App", "Phone", None, "en", BODY["data"], False)


def test_null_as_kind_names_the_pusher_to_delete() -> None:
    assert parse_pusher({"app_id": "a", "pushkey": "k", "kind": None}) == PusherKey("a", "k")


@pytest.mark.parametrize("name", ["app_id", "pushkey", "app_display_name", "device_display_name", "lang", "data"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(MatrixError, match=f"Missing parameters: {name}$"):
        parse_pusher({key: value for key, value in BODY.items() if key != name})
    assert refused(**{name: None}) == "M_MISSING_PARAM"
    assert refused(**{name: 7}) == "M_BAD_JSON"


def test_a_kind_must_be_given_and_known() -> None:
    with pytest.raises(MatrixError, match="kind"):
        parse_pusher({"app_id": "a", "pushkey": "k"})
    assert refused(kind="pigeon") == "M_INVALID_PARAM"
    assert refused(kind=1) == "M_BAD_JSON"
    assert refused(append="yes") == "M_BAD_JSON"
    assert refused(kind="email") == "M_INVALID_PARAM"
    assert isinstance(parse_pusher({**BODY, "kind": "email", "app_id": "m.email", "data": {}}), WantedPusher)


def test_everything_is_bounded() -> None:
    assert refused(app_id="x" * 65) == "M_INVALID_PARAM"
    assert refused(pushkey="x" * 513) == "M_INVALID_PARAM"
    assert refused(pushkey="\u00e4" * 257) == "M_INVALID_PARAM"
    assert refused(lang="a\0") == "M_INVALID_PARAM"
    assert refused(profile_tag="x" * 256) == "M_INVALID_PARAM"
    assert refused(data={"url": URL, "x": "x" * 8192}) == "M_INVALID_PARAM"
    assert refused(data={"url": URL, "x": "\0"}) == "M_INVALID_PARAM"


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.org/_matrix/push/v1/notify",
        "https://push.example.org/_matrix/push/v1/notify/",
        "https://push.example.org/other",
        "https:///_matrix/push/v1/notify",
        "https://user@push.example.org/_matrix/push/v1/notify",
        "https://:x@push.example.org/_matrix/push/v1/notify",
        "https://push.example.org:port/_matrix/push/v1/notify",
        "https://push.example.org/_matrix/push/v1/notify#x",
        "https://push.exa mple.org/_matrix/push/v1/notify",
        "https://push.example.org\n/_matrix/push/v1/notify",
        "https://p\u00fcsh.example.org/_matrix/push/v1/notify",
        "https://[::1/_matrix/push/v1/notify",
        "",
    ],
)
def test_gateways_are_reached_by_tls_at_their_one_path(url: str) -> None:
    assert refused(data={"url": url}) == "M_INVALID_PARAM"


def test_a_url_is_needed_and_text() -> None:
    assert refused(data={}) == "M_MISSING_PARAM"
    assert refused(data={"url": 1}) == "M_BAD_JSON"


def test_for_trying_things_out_gateways_may_be_anywhere() -> None:
    near = {**BODY, "data": {"url": "http://127.0.0.1:5000/push"}}
    assert isinstance(parse_pusher(near, allows_http=True), WantedPusher)
    with pytest.raises(MatrixError):
        parse_pusher({**BODY, "data": {"url": "ftp://127.0.0.1/push"}}, allows_http=True)
