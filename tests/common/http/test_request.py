"""Parameters and bodies are checked as they are asked for, with the specification's error codes."""

from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.http.request import JSON_DEPTH_LIMIT, Query, Request, Requester, RequestHeaders
from hs_common.matrix.errors import MatrixError
from tests.common.http.refusals import refusal


def refused(errcode: str, status: int = 400) -> Any:
    return pytest.raises(MatrixError, match=f"^{status} {errcode}")


def with_body(raw: bytes) -> Request:
    return Request(content=BytesIO(raw))


@given(
    st.lists(st.from_regex(rb"[\w.~!:&=-]{,12}", fullmatch=True) | st.sampled_from([b"a=1", b"%41", b"+"]), max_size=25)
)
def test_plain_queries_are_split_as_others_are_parsed(pairs: list[bytes]) -> None:
    query_string = b"&".join(pairs)
    try:
        expected = parse_qsl(query_string.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        return
    query = Query(query_string)
    names = dict.fromkeys(name for name, _ in expected)
    assert [name for name, _ in query.items()] == list(names)
    assert all(query.strings(name) == [value for key, value in expected if key == name] for name in names)


class Ban(msgspec.Struct):
    user_id: str
    reason: str | None = None


def test_strings() -> None:
    query = Query(b"a=1&b=&c=%C3%A9+x&a=2")
    assert query.string("a") == "1"
    assert query.strings("a") == ["1", "2"]
    assert query.string("b") == ""
    assert query.string("c") == "é x"
    assert query.string("missing", None) is None
    assert query.string("missing", "default") == "default"
    assert query.strings("missing") == []
    assert "a" in query
    assert "missing" not in query
    with refused("M_MISSING_PARAM"):
        query.string("missing")


def test_integers_are_bounded() -> None:
    query = Query(b"limit=50&negative=-3&empty=&word=ten&unicode=%D9%A3&long=99999999999999999&float=1.5")
    assert query.integer("limit") == 50
    assert query.integer("limit", 10, maximum=20) == 20
    assert query.integer("negative") == -3
    assert query.integer("missing", 7) == 7
    assert query.integer("missing", None) is None
    with refused("M_INVALID_PARAM"):
        query.integer("negative", 1, minimum=0)
    for name in ("empty", "word", "unicode", "long", "float"):
        with refused("M_INVALID_PARAM"):
            query.integer(name, 1)
    with refused("M_MISSING_PARAM"):
        query.integer("missing")


def test_booleans_are_true_or_false() -> None:
    query = Query(b"yes=true&no=false&odd=1")
    assert query.boolean("yes", False) is True
    assert query.boolean("no", True) is False
    assert query.boolean("missing", True) is True
    assert query.boolean("missing") is None
    with refused("M_INVALID_PARAM"):
        query.boolean("odd", False)


@pytest.mark.parametrize("query_string", [b"a=%ff", b"a=\xff", b"a=%00", b"&".join([b"a=1"] * 201)])
def test_a_query_string_that_cannot_be_read_is_refused(query_string: bytes) -> None:
    with refused("M_INVALID_PARAM"):
        Query(query_string).strings("a")


@given(st.binary(max_size=80))
def test_any_query_string_is_read_or_refused(query_string: bytes) -> None:
    error = refusal(lambda: Query(query_string).strings("a"))
    assert error is None or error.status == 400


def test_a_body_is_a_json_object() -> None:
    request = with_body(b'{"a": [1, {"b": null}]}')
    assert request.json() == {"a": [1, {"b": None}]}
    assert request.json() is request.json()
    for raw in (b"", b"{", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}", b"{} {}"):
        with refused("M_NOT_JSON"):
            with_body(raw).json()
    for raw in (b"[]", b"1", b'"text"', b"null"):
        with refused("M_BAD_JSON"):
            with_body(raw).json()


def test_a_missing_body_may_be_the_empty_object() -> None:
    assert with_body(b"").json(optional=True) == {}
    assert with_body(b"").body(msgspec.defstruct("Empty", []), optional=True) is not None
    with refused("M_NOT_JSON"):
        with_body(b" ").json(optional=True)


def nested(depth: int, left: bytes, right: bytes) -> bytes:
    return b'{"a":' + left * (depth - 1) + b"0" + right * (depth - 1) + b"}"


def test_depth_is_limited() -> None:
    assert with_body(nested(JSON_DEPTH_LIMIT, b"[", b"]")).json()
    assert with_body(nested(JSON_DEPTH_LIMIT, b'{"b":', b"}")).json()
    assert with_body(orjson.dumps({"wide": [{}] * 1000})).json()
    for depth in (JSON_DEPTH_LIMIT + 1, 900):
        with refused("M_BAD_JSON"):
            with_body(nested(depth, b"[", b"]")).json()
    with refused("M_NOT_JSON"):
        with_body(nested(100_000, b"[", b"]")).json()


def test_a_typed_body() -> None:
    ban = with_body(b'{"user_id": "@a:b", "unknown": 1}').body(Ban)
    assert ban == Ban("@a:b")
    with refused("M_MISSING_PARAM"):
        with_body(b'{"reason": "spam"}').body(Ban)
    for raw in (b'{"user_id": 1}', b'{"user_id": null}', b'{"user_id": "@a:b", "reason": {}}'):
        with refused("M_BAD_JSON"):
            with_body(raw).body(Ban)


def test_nul_is_refused_where_it_would_reach_a_column() -> None:
    with refused("M_BAD_JSON"):
        with_body(b'{"user_id": "a\\u0000"}').body(Ban)
    with refused("M_BAD_JSON"):
        with_body(b'{"user_id": "a", "x": [{"\\u0000": 1}]}').body(Ban)
    assert with_body(b'{"user_id": "a\\\\u0000"}').body(Ban).user_id == "a\\u0000"
    assert with_body(b'{"body": "a\\u0000"}').json() == {"body": "a\0"}


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(raw: bytes) -> None:
    error = refusal(lambda: with_body(raw).body(Ban))
    assert error is None or error.status == 400


def test_headers_do_not_care_for_case() -> None:
    headers = RequestHeaders({"User-Agent": "Element", "X-Odd": "é"})
    request = Request(headers=headers)
    assert request.user_agent == "Element"
    assert request.headers.get("x-odd") == "Ã©"
    assert request.headers.get("missing") is None
    assert request.headers.all("user-agent") == ["Element"]
    assert Request().user_agent == ""


def test_asking_who_calls_where_nobody_said_is_a_mistake() -> None:
    requester = Requester("@a:b", "D", b"")
    assert Request(requester=requester).requester is requester
    assert Request().optional_requester is None
    with pytest.raises(AssertionError):
        _ = Request().requester
