"""Another server that is who it says, and sends anything: an answer or a 4xx, never a 5xx, from any endpoint."""

import json
from itertools import product
from typing import Any, Final

import pytest

from hs_common.http.endpoint import Auth, EndpointDeclaration
from hs_common.matrix.request_signing import authorization
from tests.conformance.asking import declarations, path_of
from tests.federation.pair import A, C, Pair

_PREFIXES: Final = ("/_matrix/federation/", "/_matrix/key/", "/_matrix/policy/")
_VALUES: Final = (
    "x",
    "@nobody:c.test",
    "@nobody:a.test",
    "!nowhere:c.test",
    "$" + "e" * 43,
    "é" * 300,
    "#a:a.test",
    " ",
)
_NAMES: Final = (
    *("room_id", "event_id", "origin", "origin_server_ts", "pdus", "edus", "event", "room_version", "sender"),
    *("earliest_events", "latest_events", "limit", "min_depth", "device_keys", "one_time_keys", "server_keys"),
    *("filter", "since", "include_all_networks", "third_party_instance_id", "type", "state_key", "content"),
    *("prev_events", "auth_events", "hashes", "signatures", "mxid", "medium", "address", "invites", "signed"),
    *("invite_room_state", "depth"),
)
_BODIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    dict.fromkeys(_NAMES, 7),
    dict.fromkeys(_NAMES, "x"),
    dict.fromkeys(_NAMES),
    {name: [] for name in _NAMES},
    {name: [{"a": [-1]}, 7, None, "\u0000"] for name in _NAMES},
    {name: {"a": {"b": "c"}} for name in _NAMES},
    {name: {"@nobody:a.test": {"D": "x"}} for name in _NAMES},
)
_QUERIES: Final = (
    "?limit=-1&v=x&event_id=x&ts=x&dir=x&suggested_only=x&user_id=x&room_alias=x&field=x&ver=x",
    "?limit=99999999999999999999&v=%24a&v=%24b&event_id=%00&ts=1&user_id=%40x%3Aa.test&room_alias=%23x%3Aa.test",
    "?minimum_valid_until_ts=x&access_token=x&since=x&include_all_networks=x&omit_members=x&ver=1&ver=12",
    "?%ff=%ff&limit=",
)
_RAW: Final = (b"{not json", b"[]", b"null", b'{"a":' * 400 + b"1" + b"}" * 400, b'{"a":"\\ud800"}', b"\xff\xfe")

every = pytest.mark.parametrize(
    "declaration",
    [one for one in declarations() if one.path.startswith(_PREFIXES)],
    ids=lambda declaration: f"{declaration.method} {declaration.path}",
)


@every
def test_no_signed_request_is_an_internal_error(pair: Pair, declaration: EndpointDeclaration) -> None:
    names = [part.strip("{}") for part in declaration.path.split("/") if part.startswith("{")]
    plain = path_of(declaration.path, {})
    paths = [plain, *(path_of(declaration.path, {name: value}) for name, value in product(names, _VALUES))]
    has_body = declaration.method in ("PUT", "POST")
    bodies: list[dict[str, Any] | None] = list(_BODIES) if has_body else [None]
    asked = [(path, bodies[0]) for path in paths] + [(plain, body) for body in bodies]
    asked += [(plain + query, bodies[0]) for query in _QUERIES]
    for path, body in asked:
        status, answer = pair.c.ask(pair.a.url, A, declaration.method, path, body)
        assert status < 500, (path, body, answer)
        assert status < 400 or isinstance(answer.get("errcode"), str), (path, body, answer)


@every
def test_what_is_no_json_object_is_refused(pair: Pair, declaration: EndpointDeclaration) -> None:
    if declaration.method not in ("PUT", "POST"):
        return
    path = path_of(declaration.path, {})
    headers = [authorization(declaration.method, path, C, A, b"{}", pair.c.key)]
    for raw in _RAW:
        status, answer = pair.c.ask(pair.a.url, A, declaration.method, path, raw=raw, headers=headers)
        assert 400 <= status < 500, (raw[:20], status, answer)
        assert answer["errcode"] in ("M_NOT_JSON", "M_BAD_JSON", "M_UNAUTHORIZED"), answer


@every
def test_a_signature_is_wanted_before_anything_else(pair: Pair, declaration: EndpointDeclaration) -> None:
    if declaration.auth is not Auth.SERVER:
        return
    path = path_of(declaration.path, {})
    body: dict[str, Any] | None = {} if declaration.method in ("PUT", "POST") else None
    bad = authorization(declaration.method, path, C, A, b'{"another":"body"}', pair.c.key)
    for headers in ([], [bad], [("Authorization", "X-Matrix nonsense")]):
        status, answer = pair.c.ask(pair.a.url, A, declaration.method, path, body, headers=headers)
        assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED"), (headers, answer)


def test_large_bodies_are_refused_before_they_are_read(pair: Pair) -> None:
    path = "/_matrix/federation/v1/user/keys/query"
    body = json.dumps({"device_keys": {f"@{number:0200}:a.test": [] for number in range(40_000)}}).encode()
    headers = [authorization("POST", path, C, A, body, pair.c.key)]
    status, answer = pair.c.ask(pair.a.url, A, "POST", path, raw=body, headers=headers)
    assert (status, answer["errcode"]) == (413, "M_TOO_LARGE")
