"""Whatever bytes arrive, the server answers with an error as the specification has it, and goes on serving."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults

from tests.common.http.endpoints import V3, Sample
from tests.common.http.served import Served, compose, serving
from tests.reactor import reactor, run

MALFORMED = {
    "no request line": b"\r\n\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two words": b"GET /\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\n\r\n",
    "another protocol": b"GET / RTSP/1.0\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "NUL in the path": b"GET /_matrix\0/x HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    "chunks of no size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 3_000 + b"\r\n",
    "many lines": b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 600 + b"\r\n",
    "a long token": b"GET / HTTP/1.1\r\nAuthorization: Bearer " + b"x" * 900_000 + b"\r\n\r\n",
    "a long path": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "deep path": b"GET " + b"/a" * 7_000 + b" HTTP/1.1\r\n\r\n",
}


LARGE = {"a long header": 431, "many headers": 431, "many lines": 431, "a long path": 414, "a long token": 431}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests(name: str) -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(MALFORMED[name] + compose("GET", "/", headers={"Connection": "close"}))
            answer = await connection.answer()
            assert answer.status == LARGE.get(name, answer.status)
            assert 400 <= answer.status < 500
            assert answer.json["errcode"] == ("M_TOO_LARGE" if name in LARGE else answer.json["errcode"])
            assert answer.json["error"]
            assert answer.headers["access-control-allow-origin"] == "*"
            await connection.close()
            assert (await served.ask("GET", f"{V3}/hello/a")).status == 200

    run(play())


keys = st.text(max_size=6) | st.just("name")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
bodies = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode())
targets = st.sampled_from(
    ["PUT /name", "POST /upload", "POST /users_only", "GET /hello/x", "GET /whoami", "PUT /nothing"]
)
queries = st.sampled_from(["", "?access_token=good", "?limit=%ff", "?a=%00&access_token=x"])
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)


async def status(served: Served, target: str, query: str, body: bytes, header: str) -> int:
    method, path = target.split(" ")
    headers = {"X-Odd": header, "Content-Length": str(len(body))}
    return (await served.ask(method, f"{V3}{path}{query}", body, headers)).status


@settings(max_examples=15)
@given(st.lists(st.tuples(targets, queries, bodies, header_values), min_size=10, max_size=10))
def test_random_bodies_never_give_5xx(requests: list[tuple[str, str, bytes, str]]) -> None:
    async def play() -> list[int]:
        async with serving(Sample()) as served:
            served.accounts.add("good")
            asking = [Deferred.fromCoroutine(status(served, *request)) for request in requests]
            return list(await gatherResults(asking))

    assert all(200 <= answered < 500 for answered in run(play()))


@settings(max_examples=25)
@given(st.lists(st.binary(min_size=1, max_size=120), min_size=1, max_size=8))
def test_random_bytes_never_stop_the_server(pieces: list[bytes]) -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            for piece in pieces:
                connection.write(piece)
            connection.write(b"\r\n\r\n")
            closing = reactor.callLater(0.05, connection.abort)  # a server may well wait for more
            answer = await connection.answer()
            assert answer.status < 500
            if closing.active():
                closing.cancel()
                await connection.close()
            assert (await served.ask("GET", f"{V3}/hello/a")).status == 200

    run(play())
