"""Which server calls: proved by its signature, for this destination, on exactly this request."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from twisted.web.http_headers import Headers

from hs_common.config.federation import Federation
from hs_common.federation.accounts import Accounts
from hs_common.federation.authentication import RequestAuthenticator
from hs_common.federation.back_off import MemoryBackOff
from hs_common.federation.domains import Domains
from hs_common.http.incoming import Incoming
from hs_common.http.server_calls import ServerCaller
from hs_common.matrix.canonical_json import encode, encode_lenient
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.request_signing import authorization
from hs_common.matrix.signing import SignatureError, SigningKey, VerifyKey, verify_bytes
from tests.common.matrix.strategies import json_objects
from tests.reactor import run

KEY = SigningKey("1", bytes(32))
OTHER = SigningKey("2", b"2" * 32)


class Keys:
    """Knows the keys of a.example."""

    def __init__(self, *keys: VerifyKey) -> None:
        self.keys = {key.key_id: key for key in keys}

    async def verify(self, proof: Any) -> None:
        if proof.server != "a.example" or not proof.in_use:
            raise SignatureError("no keys")
        verify_bytes(proof.data, proof.signatures, proof.server, self.keys)


def authenticator(config: Federation | None = None, *keys: VerifyKey) -> RequestAuthenticator:
    known: Any = Keys(*(keys or (KEY.verify_key,)))
    back_off = MemoryBackOff(lambda: 0.0, lambda: 0.5)
    domains = Domains(config or Federation(), "us.example")
    return RequestAuthenticator("us.example", domains, known, back_off, Accounts(lambda: 0.0), lambda: 0)


def incoming(body: bytes, *headers: str, method: str = "PUT", uri: str = "/x?a=%20") -> Incoming:
    path, _, query = uri.partition("?")
    values = Headers({"Authorization": list(headers)})
    return Incoming(method, path, query.encode(), values, BytesIO(body), "", "127.0.0.1")


def signed(body: bytes, content: bytes | None = None, key: SigningKey = KEY, changed: Any = None) -> Incoming:
    facts = {"method": "PUT", "uri": "/x?a=%20", "origin": "a.example", "destination": "us.example"} | (changed or {})
    value = content if content is not None or not body else body
    header = authorization(facts["method"], facts["uri"], facts["origin"], facts["destination"], value, key)[1]
    return incoming(body, header)


def caller(request: Incoming, config: Federation | None = None) -> ServerCaller:
    return run(authenticator(config).caller(request))


def status(request: Incoming, config: Federation | None = None) -> int:
    with pytest.raises(MatrixError) as refused:
        caller(request, config)
    return refused.value.status


def test_a_signed_request() -> None:
    assert caller(signed(b'{"a":1}')) == ServerCaller("a.example", {"a": 1})
    assert caller(signed(b"")) == ServerCaller("a.example", None)
    assert caller(signed(b'{ "b": [1],\n"a": "\\u00e9" }', '{"a":"é","b":[1]}'.encode())).json == {"a": "é", "b": [1]}


@given(json_objects)
def test_bodies_are_signed_in_their_canonical_form(body: dict[str, Any]) -> None:
    assert caller(signed(encode_lenient(body)[::1], encode(body))).json == body


@pytest.mark.parametrize("text", [b'{"a":1.5}', b'{"a":9007199254740993}', b'{"a":1e3}'])
def test_bodies_of_old_rooms(text: bytes) -> None:
    content = {b'{"a":1e3}': b'{"a":1000.0}'}.get(text, text)
    assert caller(signed(text, content)).origin == "a.example"


@pytest.mark.parametrize(
    "changed",
    [{"method": "POST"}, {"uri": "/x?a=+"}, {"uri": "/x"}, {"destination": "b.example"}, {"origin": "c.example"}],
)
def test_a_signature_for_something_else(changed: dict[str, str]) -> None:
    assert status(signed(b"{}", changed=changed)) == 401


def test_what_is_not_signed_by_its_key() -> None:
    assert status(incoming(b"{}")) == 401
    assert status(incoming(b"{}", "Bearer abc")) == 401
    assert status(signed(b"{}", key=SigningKey("1", b"f" * 32))) == 401
    assert status(signed(b"{}", b'{"a":1}')) == 401
    assert status(signed(b"", b"{}")) == 401


def test_who_signs_with_two_keys_sends_two_headers() -> None:
    headers = [authorization("PUT", "/x", "a.example", "us.example", b"{}", key)[1] for key in (KEY, OTHER)]
    request = incoming(b"{}", *headers, uri="/x")
    assert run(authenticator(None, KEY.verify_key).caller(request)).origin == "a.example"
    assert run(authenticator(None, KEY.verify_key, OTHER.verify_key).caller(request)).origin == "a.example"
    foreign = authorization("PUT", "/x", "b.example", "us.example", b"{}", OTHER)[1]
    assert status(incoming(b"{}", headers[0], foreign, uri="/x")) == 401


def test_who_does_not_name_the_destination_has_signed_it_all_the_same() -> None:
    header = authorization("PUT", "/x", "a.example", "us.example", b"{}", KEY)[1]
    assert caller(incoming(b"{}", header.replace('destination="us.example",', ""), uri="/x")).origin == "a.example"
    foreign = authorization("PUT", "/x", "a.example", "b.example", b"{}", KEY)[1]
    assert status(incoming(b"{}", foreign.replace('destination="b.example",', ""), uri="/x")) == 401


def test_a_bare_question_mark_is_signed_as_it_was_sent() -> None:
    header = authorization("GET", "/x?", "a.example", "us.example", None, KEY)[1]
    assert caller(incoming(b"", header, method="GET", uri="/x?")).origin == "a.example"
    assert status(incoming(b"", header, method="GET", uri="/y?")) == 401
    assert status(incoming(b"", header, method="GET", uri="/x?a=")) == 401


def test_whom_the_config_forbids() -> None:
    assert status(signed(b"{}"), Federation(deny=("a.example",))) == 403
    assert status(signed(b"{}"), Federation(enabled=False)) == 403


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b'{"a":' * 300 + b"1" + b"}" * 300, b'{"a":"\\ud800"}'])
def test_bodies_that_are_none(body: bytes) -> None:
    assert status(signed(body, b"{}")) == 400
