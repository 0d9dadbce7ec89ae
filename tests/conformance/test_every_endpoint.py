"""What holds for every endpoint that is declared: tokens, malformed bodies, other methods, CORS, and never a 5xx.

Spec: client-server API, #standard-error-response, #client-authentication, #web-browser-clients.
"""

import json
from itertools import product
from typing import Final

import pytest

from hs_common.http.endpoint import Auth, EndpointDeclaration
from tests.conformance.asking import Answer, ask, declarations, path_of
from tests.conformance.conftest import Ground

# Changing these with any body would end the session that all other questions are asked with.
_ENDING: Final = ("/logout", "/logout/all", "/account/deactivate", "/account/password")
_BODIES: Final = ("PUT", "POST")
_VALUES: Final = (
    *("x", "@nobody:elsewhere.example", "!nowhere:elsewhere.example", "$" + "e" * 43, "a\u0000b", "é" * 300),
    *("", "..", "a/b", "@é:localhost", f"@{'x' * 260}:localhost", f"!{'x' * 260}:localhost", "x" * 5_000, "!a:b:c:d"),
    *("99999999999999999999", "-1", "\r\nX: y", "\u202e"),
)
_ESCAPES: Final = ("%ff%fe", "%zz", "%", "%ED%A0%80", "%E0%80%AF")
"""Of no text at all: they are put into paths as they are."""
_BAD_TOKENS: Final = ("\xff\xfe", "x" * 5_000, "a b", "\x01")
_NAMES: Final = (
    *("user_id", "reason", "name", "filter", "room", "limit", "membership", "type", "presence", "typing", "room_id"),
    *("displayname", "avatar_url", "tags", "order", "actions", "invite", "preset", "body", "event_id", "visibility"),
    *(
        "initial_state",
        "creation_content",
        "power_level_content_override",
        "room_version",
        "topic",
        "timeout",
        "third_party_signed",
    ),
    *("m.fully_read", "m.read", "m.read.private", "thread_id", "devices", "device_id", "display_name", "conditions"),
    *(
        "pattern",
        "enabled",
        "identifier",
        "user",
        "password",
        "username",
        "refresh_token",
        "token",
        "initial_device_display_name",
    ),
    *(
        "event_fields",
        "event_format",
        "account_data",
        "algorithm",
        "url",
        "info",
        "session",
        "id_server",
        "room_alias_name",
    ),
)
_WRONG_BODIES: Final = (
    b"{}",
    b"[]",
    b'"text"',
    b"null",
    b'{"a":1e400}',
    b'{"a":"\\ud800"}',
    b'{"a":' * 200 + b"1" + b"}" * 200,
    json.dumps({name: [{"a": -1}] for name in _NAMES}).encode(),
    json.dumps(dict.fromkeys(_NAMES, 7)).encode(),
    json.dumps(dict.fromkeys(_NAMES, "x")).encode(),
    json.dumps({name: {"a": []} for name in _NAMES}).encode(),
)
_QUERIES: Final = (
    "",
    "?limit=-1&from=x&dir=x&since=x&timeout=x&filter=x&at=x&ts=x&recurse=x&order=x",
    "?limit=99999999999999999999&from=t1_2&to=s&dir=b&since=s0_0_0&filter=%7B%22room%22:7%7D&ts=1e9",
    "?limit=NaN&limit=1&from=%00&since=%zz&filter=%ff&ts=1.5&since=s-1_-1_-1&not_membership=&kind=7&username=%0a",
    "?" + "&".join(f"x{number}=1" for number in range(300)),
    "?&&=&==&limit&from&filter={}&user_id=@alice:localhost&order_by=%E2%80%AE&server=../..&max_depth=1e9&at=s1",
    "?dir=f&limit=0&set_presence=x&full_state=x&membership=x&include=x&server_name=%00&via=%ff",
)

every = pytest.mark.parametrize(
    "declaration", declarations(), ids=lambda declaration: f"{declaration.method} {declaration.path}"
)


def values_of(ground: Ground) -> dict[str, str]:
    return {"userId": ground.user_id, "roomId": ground.room_id, "eventId": ground.event_id}


def target(ground: Ground, declaration: EndpointDeclaration) -> str:
    return path_of(declaration.path, values_of(ground))


def is_error(answer: Answer) -> bool:
    """Whether it is a 4xx as the specification has it; 401 may also be interactive authentication."""
    if answer.is_page:
        return 400 <= answer.status < 500
    if answer.status == 401 and "flows" in answer.json:
        return True
    return 400 <= answer.status < 500 and isinstance(answer.errcode, str) and isinstance(answer.json["error"], str)


@every
def test_token_is_wanted_before_anything_else(ground: Ground, declaration: EndpointDeclaration) -> None:
    body = b"not json" if declaration.method in _BODIES else None
    without = ask(ground.server.port, declaration.method, target(ground, declaration), body=body)
    unknown = ask(ground.server.port, declaration.method, target(ground, declaration), body=body, token="unknown")
    if declaration.auth in (Auth.NONE, Auth.SERVICE_OPTIONAL):
        assert unknown.status == without.status < 500
        assert without.errcode != "M_MISSING_TOKEN"
        return
    for token in _BAD_TOKENS:
        bad = ask(ground.server.port, declaration.method, target(ground, declaration), body=body, token=token)
        assert (bad.status, bad.errcode) == (unknown.status, unknown.errcode), token[:20]
    if declaration.auth is Auth.SERVER:  # a token is no signature
        assert (without.status, without.errcode) == (unknown.status, unknown.errcode) == (401, "M_UNAUTHORIZED")
        return
    assert (unknown.status, unknown.errcode) == (401, "M_UNKNOWN_TOKEN")
    if declaration.auth is not Auth.USER_OPTIONAL:
        assert (without.status, without.errcode) == (401, "M_MISSING_TOKEN")


@every
def test_browser_may_ask_and_other_methods_are_refused(ground: Ground, declaration: EndpointDeclaration) -> None:
    where = target(ground, declaration)
    preflight = ask(ground.server.port, "OPTIONS", where)
    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert {"X-Requested-With", "Content-Type", "Authorization"} <= set(
        preflight.headers["access-control-allow-headers"].split(", ")
    )
    patched = ask(ground.server.port, "PATCH", where, token=ground.access_token)
    assert (patched.status, patched.errcode) == (405, "M_UNRECOGNIZED")
    assert patched.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "declaration",
    [one for one in declarations() if one.method in _BODIES and not (one.streams or one.path.endswith(_ENDING))],
    ids=lambda declaration: f"{declaration.method} {declaration.path}",
)
def test_what_is_not_json_is_refused(ground: Ground, declaration: EndpointDeclaration) -> None:
    answer = ask(
        ground.server.port,
        declaration.method,
        target(ground, declaration),
        body=b"{not json",
        token=ground.access_token,
    )
    assert is_error(answer), (answer.status, answer.body)


_GATEWAY = (502, 504)
_MARK: Final = "MARK"


@every
def test_no_input_is_an_internal_error(ground: Ground, declaration: EndpointDeclaration) -> None:
    """Any value in the path, any query, any body: an answer or a 4xx with its code, never a 5xx; but for what another
    server would have to answer, which is not there."""
    if declaration.path.endswith(_ENDING):
        return
    names = [part.strip("{}") for part in declaration.path.split("/") if part.startswith("{")]
    paths = [target(ground, declaration)]
    for name, value in product(names, _VALUES):
        paths.append(path_of(declaration.path, {**values_of(ground), name: value}))
    for name, escape in product(names, _ESCAPES):
        paths.append(path_of(declaration.path, {**values_of(ground), name: _MARK}).replace(_MARK, escape))
    bodies = list(_WRONG_BODIES) if declaration.method in _BODIES else [None]
    asked = [(path, bodies[0]) for path in paths]
    asked += [(paths[0] + query, body) for query, body in product(_QUERIES, bodies)]
    for where, body in asked:
        answer = ask(ground.server.port, declaration.method, where, body=body, token=ground.access_token)
        assert answer.status < 500 or answer.status in _GATEWAY, (where, body, answer.body)
        assert answer.status < 400 or is_error(answer), (where, body, answer.status, answer.body)


def test_unknown_paths_are_unrecognized_with_cors(ground: Ground) -> None:
    for where in ("/_matrix/client/v3/nothing", "/_matrix/client/v9/sync", "/_matrix/nothing", "/nothing"):
        answer = ask(ground.server.port, "GET", where)
        assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"].startswith("application/json")


def test_body_over_the_limit_is_too_large(ground: Ground) -> None:
    where = path_of("/_matrix/client/v3/rooms/{roomId}/send/m.room.message/large", values_of(ground))
    event = ask(
        ground.server.port, "PUT", where, body=json.dumps({"body": "x" * 70_000}).encode(), token=ground.access_token
    )
    assert (event.status, event.errcode) == (413, "M_TOO_LARGE")
    announced = {"Content-Length": "300000000"}  # refused by its length, before it is sent
    huge = ask(ground.server.port, "PUT", where, headers=announced, token=ground.access_token)
    assert (huge.status, huge.errcode) == (413, "M_TOO_LARGE")
