"""Which token and which address a request comes with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from hs_common.http.credentials import access_token_hash, client_address, hash_token, trusted_networks
from hs_common.matrix.errors import MatrixError
from tests.common.http.refusals import refusal


def bearer(*values: str) -> Headers:
    return Headers({"Authorization": list(values)})


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_a_token_in_the_header(header: str) -> None:
    assert access_token_hash(bearer(header), b"") == hash_token("abc")


@pytest.mark.parametrize("query_string", [b"access_token=abc", b"a=1&access_token=abc&b=2", b"access_token=%61bc"])
def test_a_token_in_the_query(query_string: bytes) -> None:
    assert access_token_hash(Headers(), query_string) == hash_token("abc")


def test_the_same_token_twice_is_one_token() -> None:
    assert access_token_hash(bearer("Bearer abc", "Bearer abc"), b"access_token=abc") == hash_token("abc")


@pytest.mark.parametrize(
    ("headers", "query_string"),
    [
        (bearer("Bearer abc", "Bearer xyz"), b""),
        (bearer("Bearer abc"), b"access_token=xyz"),
        (Headers(), b"access_token=abc&access_token=xyz"),
    ],
)
def test_different_tokens_are_refused(headers: Headers, query_string: bytes) -> None:
    with pytest.raises(MatrixError, match=r"^401 M_MISSING_TOKEN"):
        access_token_hash(headers, query_string)


@pytest.mark.parametrize(
    ("headers", "query_string"),
    [
        (Headers(), b""),
        (bearer("Bearer"), b""),
        (bearer("Bearer "), b"access_token="),
        (bearer("Basic YTpi"), b""),
        (bearer('X-Matrix origin="a"'), b"not_access_token=1"),
    ],
)
def test_no_token(headers: Headers, query_string: bytes) -> None:
    assert access_token_hash(headers, query_string) is None


def test_a_token_that_none_of_ours_can_be_is_not_hashed() -> None:
    with pytest.raises(MatrixError, match=r"^401 M_UNKNOWN_TOKEN"):
        access_token_hash(bearer("Bearer " + "a" * 5000), b"")


@given(st.binary(max_size=60), st.binary(max_size=60).filter(lambda value: not set(value) & set(b"\r\n\0")))
def test_any_bytes_are_a_token_or_none(query: bytes, header: bytes) -> None:
    headers = Headers({b"Authorization": [b"Bearer " + header]})
    error = refusal(lambda: access_token_hash(headers, b"access_token=" + query))
    assert error is None or error.status == 401


OUR_PROXIES = trusted_networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"198.51.100.1"], "192.0.2.1"),  # a stranger says what it likes
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # the client made up the first
        ("10.0.0.1", [b"198.51.100.1, 10.2.3.4"], "198.51.100.1"),  # two proxies in a row
        ("10.0.0.1", [b"198.51.100.1", b"10.2.3.4"], "198.51.100.1"),
        ("::1", [b"2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [b"nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"10.0.0.7"], "10.0.0.7"),  # all are ours: the first of them
        ("", [b"1.2.3.4"], ""),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),  # else all of IPv4 would have one bucket
        ("::ffff:10.0.0.1", [b"::FFFF:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", [b"198.51.100.1, ::ffff:10.2.3.4"], "198.51.100.1"),
        ("::ffff:nonsense", [], "::ffff:nonsense"),
        ("::ffff:1", [], "::ffff:1"),
    ],
)
def test_the_client_is_the_last_address_that_is_not_ours(peer: str, forwarded_for: list[bytes], client: str) -> None:
    assert client_address(peer, forwarded_for, OUR_PROXIES) == client


def test_networks_are_checked_when_they_are_configured() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        trusted_networks(["nonsense"])
