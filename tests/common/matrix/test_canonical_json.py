"""Canonical JSON: the specification's examples, equality with the reference library, and what is refused."""

import json
from typing import Any

import canonicaljson
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.limits import MAX_INTEGER, MAX_JSON_DEPTH
from tests.common.matrix.strategies import json_values

# Spec: appendices, #canonical-json, "Examples". (Its 1e10 is left out: rooms with canonical JSON refuse it.)
EXAMPLES = [
    ("{}", "{}"),
    ('{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'),
    ('{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'),
    ('{"b":"2","a":"1"}', '{"a":"1","b":"2"}'),
    (
        """{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe",
        "three_pids": [{"medium": "email", "address": "john.doe@example.org"},
        {"medium": "msisdn", "address": "123456789"}]}}}""",
        '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":'
        '[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},'
        '"success":true}}',
    ),
    ('{"a": "日本語"}', '{"a":"日本語"}'),
    ('{"本": 2, "日": 1}', '{"日":1,"本":2}'),
    ('{"a": "\\u65E5"}', '{"a":"日"}'),
    ('{"a": null}', '{"a":null}'),
    ('{"a": -0}', '{"a":0}'),
]


@pytest.mark.parametrize(("given_text", "canonical"), EXAMPLES)
def test_examples_of_the_specification(given_text: str, canonical: str) -> None:
    value = canonical_json.decode(given_text.encode(), max_bytes=1000)
    canonical_json.check(value)
    assert canonical_json.encode(value) == canonical.encode()


@given(json_values)
@example({"\U0001f600": 1, "\uffff": 2, "\ue000": 3, "": 4, "\x7f": 5})
@example("".join(map(chr, range(0x00, 0xA0))) + "\u2028\u2029\ufeff")
@example([MAX_INTEGER, -MAX_INTEGER, 0, True, False, None])
def test_the_fast_encoder_writes_what_the_reference_library_writes(value: Any) -> None:
    canonical_json.check(value)
    expected = canonicaljson.encode_canonical_json(value)
    assert canonical_json.encode(value) == expected
    assert canonical_json.encode_lenient(value) == expected
    assert canonical_json.decode(expected, max_bytes=len(expected)) == value


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_the_lenient_encoder_writes_numbers_as_the_reference_library_does(value: Any) -> None:
    assert canonical_json.encode_lenient(value) == canonicaljson.encode_canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_the_lenient_encoder_refuses_what_no_json_can_say(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON compliant|surrogates"):
        canonical_json.encode_lenient({"a": value})


@pytest.mark.parametrize("value", [MAX_INTEGER + 1, -MAX_INTEGER - 1, "\ud800", {1: 2}, object()])
def test_the_fast_encoder_refuses_what_it_can_notice(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json.encode({"a": value})


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        2**70,
        "\udfff",
        {"\ud800": 1},
        {1: 1},
        {"x"},
        b"bytes",
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": [value]}, lambda value: ({"b": value},)])
def test_check_refuses_what_canonical_json_has_not(value: object, wrap: Any) -> None:
    with pytest.raises(MatrixError) as caught:
        canonical_json.check(wrap(value))
    assert (caught.value.status, caught.value.errcode) == (400, "M_BAD_JSON")


@pytest.mark.parametrize("value", ["a\0", {"\0": 1}, [["\0"]]])
def test_nul_is_refused_where_asked(value: object) -> None:
    canonical_json.check(value)
    with pytest.raises(MatrixError, match=r"U\+0000"):
        canonical_json.check(value, refuse_nul=True)


def test_other_characters_pass_where_nul_is_refused() -> None:
    canonical_json.check({"é\x01": ["日本語\U0001f600"]}, refuse_nul=True)


def nested(levels: int, as_object: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if as_object else [value]
    return value


@pytest.mark.parametrize("as_object", [False, True])
def test_nesting_is_limited(as_object: bool) -> None:
    deepest = nested(MAX_JSON_DEPTH, as_object)
    too_deep = nested(MAX_JSON_DEPTH + 1, as_object)
    canonical_json.check(deepest)
    assert canonical_json.decode(json.dumps(deepest).encode(), 10_000) == deepest
    assert canonical_json.encode(deepest) == canonicaljson.encode_canonical_json(deepest)
    with pytest.raises(MatrixError, match="M_BAD_JSON"):
        canonical_json.check(too_deep)
    with pytest.raises(MatrixError, match="M_BAD_JSON"):
        canonical_json.decode(json.dumps(too_deep).encode(), 10_000)


def test_many_brackets_are_not_depth() -> None:
    value: list[Any] = [[{}] for _ in range(MAX_JSON_DEPTH)] + [1]
    assert canonical_json.decode(json.dumps(value).encode(), 10_000) == value
    canonical_json.check(value)


def test_decode_refuses_too_many_bytes() -> None:
    assert canonical_json.decode(b"[1]", max_bytes=3) == [1]
    with pytest.raises(MatrixError) as caught:
        canonical_json.decode(b"[12]", max_bytes=3)
    assert (caught.value.status, caught.value.errcode) == (413, "M_TOO_LARGE")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"nul", b'"\\ud800"', b"NaN", b"1e999", b"{}{}", b"[" * 5000])
def test_decode_refuses_what_is_not_json(data: bytes) -> None:
    with pytest.raises(MatrixError) as caught:
        canonical_json.decode(data, max_bytes=10_000)
    assert (caught.value.status, caught.value.errcode) == (400, "M_NOT_JSON")


def test_the_last_of_duplicate_keys_wins_and_is_the_only_one_to_be_written() -> None:
    value = canonical_json.decode(b'{"a":1,"b":2,"a":3}', max_bytes=100)
    assert canonical_json.encode(value) == b'{"a":3,"b":2}'


def test_the_depth_limit_is_within_what_the_encoder_can_write() -> None:
    # An event at the limit still fits into an answer that nests it some levels deep.
    assert orjson.dumps(nested(MAX_JSON_DEPTH + 30, True))
