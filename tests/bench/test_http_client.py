"""The benchmark's HTTP client: any split of the bytes gives the same answers; failures are told, never repeated."""

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.http_client import Address, Answer, AnswerReader, BrokenAnswerError, Connection, Doors

_PLAIN = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"
_CHUNKED = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
_EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def read(reader: AnswerReader, pieces: list[bytes]) -> list[Answer]:
    return [answer for piece in pieces if (answer := reader.feed(piece)) is not None]


@given(st.sampled_from([_PLAIN, _CHUNKED, _EMPTY]), st.sets(st.integers(1, 90)))
def test_any_split_gives_the_same_answer(encoded: bytes, cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(encoded)), len(encoded)]
    pieces = [encoded[start:end] for start, end in pairwise(edges)]
    reader = AnswerReader()
    expected = {_PLAIN: Answer(200, b"hello"), _CHUNKED: Answer(404, b"abcde"), _EMPTY: Answer(204, b"")}[encoded]
    assert read(reader, pieces) == [expected]
    assert read(reader, pieces) == [expected]  # and again on the same connection


def test_a_server_that_will_close_says_so() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert not reader.keeps_alive


@pytest.mark.parametrize("encoded", [b"SSH-2.0\r\n\r\n", b"x" * 70_000])
def test_what_is_not_http_is_refused(encoded: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        AnswerReader().feed(encoded)


def test_address_of_a_url() -> None:
    address = Address("https://example.org/below/")
    assert (address.host, address.port, address.prefix) == ("example.org", 443, "/below")
    assert Address("http://[::1]:8008").host_header == "[::1]:8008"
    with pytest.raises(ValueError, match="not a URL"):
        Address("example.org")


class _Scripted:
    """A server that answers each request on each connection with the next of some bytes; None: it closes."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError):  # the client is done
            while await reader.readuntil(b"\r\n\r\n"):
                answer = self._answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        writer.close()


async def asked(script: _Scripted, requests: int) -> list[Answer | type[Exception]]:
    """What so many requests on one connection find."""
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(Address(f"http://127.0.0.1:{port}"))
    found: list[Answer | type[Exception]] = []
    for _ in range(requests):
        try:
            found.append(await connection.request("GET", "/x", timeout_s=0.2))
        except (BrokenAnswerError, TimeoutError) as error:
            found.append(type(error))
    connection.close()
    server.close()
    return found


def test_a_connection_is_kept() -> None:
    script = _Scripted(_PLAIN, _CHUNKED, _PLAIN)
    assert asyncio.run(asked(script, 3)) == [Answer(200, b"hello"), Answer(404, b"abcde"), Answer(200, b"hello")]
    assert script.connections == 1


def test_a_closed_connection_fails_its_request_and_the_next_opens_another() -> None:
    script = _Scripted(_PLAIN, None, _PLAIN)
    assert asyncio.run(asked(script, 3)) == [Answer(200, b"hello"), BrokenAnswerError, Answer(200, b"hello")]
    assert script.connections == 2


def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    script = _Scripted(b"", _PLAIN)
    assert asyncio.run(asked(script, 2)) == [TimeoutError, Answer(200, b"hello")]


def test_doors_are_used_in_turn() -> None:
    a, b, c = (Address(f"http://127.0.0.1:{port}") for port in (1, 2, 3))
    doors = Doors([a], [b, c])
    assert [doors.next_pair() for _ in range(3)] == [(a, b), (a, c), (a, b)]
