"""Unpadded base64: the specification's examples, round trips, what is refused."""

import base64 as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import base64


# Spec: appendices, #unpadded-base64.
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
    ],
)
def test_examples_of_the_specification(data: bytes, text: str) -> None:
    assert base64.encode(data) == text
    assert base64.decode(text) == data


@given(st.binary(max_size=100))
def test_both_alphabets_agree_with_the_standard_library(data: bytes) -> None:
    padded = standard.b64encode(data).decode()
    assert base64.encode(data) == padded.rstrip("=")
    assert base64.encode_url_safe(data) == standard.urlsafe_b64encode(data).decode().rstrip("=")
    assert base64.decode(base64.encode(data)) == data
    assert base64.decode(padded) == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "A A=", "Zg===", "Z=g", "Zm9v\n", "é", "Zg-_", "*"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        base64.decode(text)
