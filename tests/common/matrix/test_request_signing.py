"""Requests of servers: what is signed, and the header."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json

from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.request_signing import RequestClaim, authorization, parse_authorization, signed_bytes
from hs_common.matrix.signing import SigningKey
from tests.common.matrix.strategies import json_objects

SEED = bytes(range(32))


@given(json_objects, st.sampled_from(["PUT", "POST"]), st.text("abc/%?=&", max_size=20))
def test_the_same_signature_as_the_reference_implementation(content: dict[str, object], method: str, uri: str) -> None:
    key = SigningKey("1", SEED)
    value = {"method": method, "uri": uri, "origin": "a.example", "destination": "b.example", "content": content}
    theirs = decode_signing_key_base64("ed25519", "1", key.to_text().split()[2])
    signed = sign_json(value, "a.example", theirs)
    header = authorization(method, uri, "a.example", "b.example", encode(content), key)[1]
    claim = parse_authorization(header)
    assert claim == RequestClaim("a.example", "b.example", "ed25519:1", signed["signatures"]["a.example"]["ed25519:1"])


def test_a_body_that_is_absent_is_not_signed() -> None:
    assert signed_bytes("GET", "/a", "x", "y", None) == b'{"destination":"y","method":"GET","origin":"x","uri":"/a"}'


@pytest.mark.parametrize(
    "header",
    [
        'X-Matrix origin="a.example",destination="b.example",key="ed25519:1",sig="c2ln"',
        "X-Matrix origin=a.example,destination=b.example,key=ed25519:1,sig=c2ln",
        'x-matrix   ORIGIN="a.example" ,\tsig="c2ln", KEY="ed25519:1" ,  destination="b.example", other="x,y"',
        r'X-Matrix origin="a\.example",destination="b.example",key="ed25519:1",sig="c2ln"',
    ],
)
def test_headers_as_the_grammar_allows_them(header: str) -> None:
    assert parse_authorization(header) == RequestClaim("a.example", "b.example", "ed25519:1", "c2ln")


def test_old_servers_do_not_name_the_destination() -> None:
    assert parse_authorization('X-Matrix origin=a.example:8448,key="ed25519:1",sig="c2ln"').destination is None


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer abc", "X-Matrix", "X-Matrix origin", 'X-Matrix origin="a.example"', "X-Matrix " + "a=b," * 2000),
        'X-Matrix origin="a.example",key="ed25519:1",sig=""',
        'X-Matrix origin="a b",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="a.example",key="1",sig="c2ln"',
        'X-Matrix origin="a.example",origin="b.example",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="a.example",destination="",key="ed25519:1",sig="c2ln"',
        'X-Matrix origin="a.example,key="ed25519:1",sig="c2ln"',
    ],
)
def test_other_headers_are_refused(header: str) -> None:
    with pytest.raises(MatrixError) as refused:
        parse_authorization(header)
    assert refused.value.status == 401


@given(st.text(max_size=100))
def test_no_header_breaks_the_parser(text: str) -> None:
    with suppress(MatrixError):
        parse_authorization("X-Matrix " + text)
