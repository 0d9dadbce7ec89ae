"""Responses as bytes."""

import pytest

from hs_common.http.cors import CORS_HEADERS, PREFLIGHT_HEADERS
from hs_common.http.reply import Encoded, Response, to_response
from hs_common.http.response_head import common_headers, json_response, whole_response

DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize("persistent", [True, False])
def test_the_short_form_of_json_is_the_long_one(persistent: bool) -> None:
    common = common_headers(DATE, persistent)
    for json in (b"{}", b'{"a":"' + b"x" * 5000 + b'"}'):
        response = to_response(Encoded(json))
        assert isinstance(response, Response)
        assert json_response(json, common) == whole_response(response, common)
    assert (b"Connection: close\r\n" in common) is not persistent


def test_headers_are_said_once() -> None:
    data = whole_response(Response(204, b"", PREFLIGHT_HEADERS), common_headers(DATE, True))
    assert data.startswith(b"HTTP/1.1 204 No Content\r\nServer: Viaduct\r\n")
    assert data.endswith(b"Access-Control-Max-Age: 86400\r\n\r\n")
    assert all(data.count(name.encode()) == 1 for name in CORS_HEADERS)


def test_the_answer_to_head_has_the_length_of_the_body_alone() -> None:
    data = whole_response(Response(200, b"12345"), common_headers(DATE, True), with_body=False)
    assert data.endswith(b"Content-Length: 5\r\n\r\n")


def test_a_status_without_a_name() -> None:
    assert whole_response(Response(299, b""), b"").startswith(b"HTTP/1.1 299 Unknown\r\n")
