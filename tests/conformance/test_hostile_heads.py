"""Heads of requests as no client sends them: each is answered, as the specification has errors, and logged as no bug.

Spec: client-server API, #standard-error-response.
"""

import json
import socket
from contextlib import closing
from typing import Final

import pytest

from tests.conformance.conftest import Ground

_WHOAMI: Final = "/_matrix/client/v3/account/whoami"
_LIMIT_S: Final = 60.0

_LINES: Final = {
    "a token of 64 KiB": ("Authorization: Bearer " + "x" * 65_536, 431, "M_TOO_LARGE"),
    "many cookies": ("Cookie: " + "a=b; " * 20_000, 431, "M_TOO_LARGE"),
    "a thousand lines": ("\r\n".join(f"X-{number}: y" for number in range(1_000)), 431, "M_TOO_LARGE"),
    "a token of 5 KiB": ("Authorization: Bearer " + "x" * 5_000, 401, "M_UNKNOWN_TOKEN"),
    "a token of Latin-1": ("Authorization: Bearer \xe9\xff", 401, "M_UNKNOWN_TOKEN"),
    "a token of UTF-8": ("Authorization: Bearer é".encode().decode("latin-1"), 401, "M_UNKNOWN_TOKEN"),
    "an empty token": ("Authorization: Bearer ", 401, "M_MISSING_TOKEN"),
    "another scheme": ("Authorization: Basic YTpi", 401, "M_MISSING_TOKEN"),
    "a NUL": ("Authorization: Bearer a\0b", 400, "M_UNKNOWN"),
    "no colon": ("Authorization", 400, "M_UNKNOWN"),
    "a name with a space": ("X Y: z", 400, "M_UNKNOWN"),
    "a length of words": ("Content-Length: ten", 400, "M_UNKNOWN"),
    "an unknown coding": ("Transfer-Encoding: gzip", 400, "M_UNKNOWN"),
    "bytes in the agent": ("User-Agent: " + "\xff" * 4_000, 401, "M_MISSING_TOKEN"),
    "a chain of proxies": ("X-Forwarded-For: " + "1.2.3.4, " * 1_000, 401, "M_MISSING_TOKEN"),
}


def _exchange(ground: Ground, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes, to the end of the connection."""
    with closing(socket.create_connection(("127.0.0.1", ground.server.port), timeout=_LIMIT_S)) as connection:
        connection.sendall(data)
        came = b""
        while piece := connection.recv(65_536):
            came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(line.split(" ")[1]), headers, body


@pytest.mark.parametrize("name", _LINES)
def test_a_head_that_no_client_sends_is_answered_with_an_error(ground: Ground, name: str) -> None:
    line, status, errcode = _LINES[name]
    head = f"GET {_WHOAMI} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{line}\r\n\r\n"
    told, headers, body = _exchange(ground, head.encode("latin-1"))
    answer = json.loads(body)
    assert (told, answer["errcode"]) == (status, errcode)
    assert answer["error"]
    assert headers["content-type"].startswith("application/json")
    assert headers["access-control-allow-origin"] == "*"


def test_a_path_longer_than_any_is_too_large(ground: Ground) -> None:
    told, _, body = _exchange(ground, b"GET /_matrix/" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (told, json.loads(body)["errcode"]) == (414, "M_TOO_LARGE")


def test_none_of_it_was_a_bug(ground: Ground) -> None:
    """Runs last: what all tests here asked was logged as no failure of the server's own."""
    assert "Traceback" not in ground.server.output(1_000_000)
