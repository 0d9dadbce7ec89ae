"""Attacks by what is answered when we ask: joins, and media, that lead in circles or tell of something else.

Spec: server-server API, #joining-rooms, #content-repository; client-server API, #content-repository.
"""

import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import Any, Final

from tests.common.federation.far_server import FarRoom
from tests.federation.hostile.evil import V1, V2, json_of
from tests.federation.hostile.stage import EVIL, Stage

Json = dict[str, Any]
_SEND_JOIN: Final = f"{V2}/send_join/"
_DOWNLOAD: Final = f"{V1}/media/download/"
ENDLESS_S: Final = 20.0
BOUNDARY: Final = "b" * 20


def _lies(stage: Stage, room: FarRoom, other: FarRoom) -> list[Json]:
    """Answers to a join that must not be believed."""
    chain = [json_of(dict(event.pdu)) for event in room.state.values()]
    create = [pdu for pdu in chain if pdu["type"] == "m.room.create"]
    elsewhere = [json_of(dict(event.pdu)) for event in other.state.values()]
    powerless = [pdu for pdu in chain if pdu["type"] != "m.room.create"]
    return [
        {"origin": EVIL, "state": [], "auth_chain": []},
        {"origin": EVIL, "state": powerless, "auth_chain": powerless},
        {"origin": EVIL, "state": elsewhere, "auth_chain": elsewhere},
        {"origin": EVIL, "state": [{**pdu, "signatures": {}} for pdu in chain], "auth_chain": create},
        {"origin": EVIL, "state": "all", "auth_chain": None},
    ]


def lying_joins(stage: Stage) -> str:
    """26. The state told to who joins has no beginning, is of another room, is signed by nobody."""
    count = max(2, stage.count // 5)
    other = stage.evil.paper.room("11")
    rooms = [stage.evil.paper.room("11") for _ in range(count)]
    try:
        with stage.attack(count):
            for room, number in zip(rooms, cycle(range(5)), strict=False):
                lie = _lies(stage, room, other)[number]
                stage.evil.instead[_SEND_JOIN] = lambda asked, lie=lie: (200, lie)  # type: ignore[misc]
                status, answer = stage.alice.ask("POST", ("join", room.room_id), {}, f"?via={EVIL}")
                assert status >= 400, (number, answer)
                assert stage.alice.ask("GET", ("rooms", room.room_id, "state"))[0] == 403
    finally:
        stage.evil.instead.clear()
    stage.join(rooms[0])
    stage.arrives(rooms[0])
    return f"{status} {answer['errcode']}: {answer['error'][:60]}; a later honest join works"


def endless_joins(stage: Stage) -> str:
    """27. The answer to a join never ends."""
    room = stage.evil.paper.room("11")
    pieces = [json_of(dict(event.pdu)) for event in room.state.values()]
    stage.evil.take_over = lambda request: _endless(request, pieces)
    try:
        with stage.attack(1):
            status, answer = stage.alice.ask("POST", ("join", room.room_id), {}, f"?via={EVIL}")
            assert status >= 400, answer
    finally:
        stage.evil.take_over = None
    assert stage.alice.ask("GET", ("rooms", room.room_id, "state"))[0] == 403
    return f"{status} {answer['errcode']}: {answer['error'][:60]}"


def _endless(request: BaseHTTPRequestHandler, events: list[Json]) -> bool:
    if _SEND_JOIN not in request.path:
        return False
    piece = json.dumps(events)[1:-1].encode() + b","
    padding = b" " * 65_536
    with suppress(OSError):
        request.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"origin":"evil.test","state":[')
        request.wfile.write(piece)
        end = time.monotonic() + ENDLESS_S
        while time.monotonic() < end:
            request.wfile.write(padding)
    return True


def circling_media(stage: Stage) -> str:
    """28. Media that are always somewhere else, or never end, or are no media."""
    port = stage.evil.port
    stage.evil.take_over = lambda request: _media(request, port)
    kinds = cycle(("circle", "inside", "endless", "none"))
    statuses = set()
    count = max(4, stage.count // 5)
    try:
        with stage.attack(count):
            for number, kind in zip(range(count), kinds, strict=False):
                path = ("download", EVIL, f"{kind}{number}")
                status, answer = stage.alice.media(path)
                is_plain = kind == "none" and status == 200  # an old server's answer: a file, and nothing runs in it
                assert status in (404, 413, 502, 504) or is_plain, (kind, status, answer)
                statuses.add(status)
    finally:
        stage.evil.take_over = None
    asked = stage.evil.circles
    return f"{', '.join(map(str, sorted(statuses)))}; redirects followed for each: {asked / max(1, count / 4):.0f}"


def _media(request: BaseHTTPRequestHandler, port: int) -> bool:
    evil: Any = request.server.foreign  # type: ignore[attr-defined]
    write = request.wfile.write
    with suppress(OSError):
        if request.path.startswith("/circle"):
            evil.circles += 1
            write(f"HTTP/1.1 302 Found\r\nLocation: /circle{evil.circles}\r\nContent-Length: 0\r\n\r\n".encode())
        elif not request.path.startswith(_DOWNLOAD):
            return False
        elif "/circle" in request.path:
            write(_multipart(f"Location: https://127.0.0.1:{port}/circle\r\n\r\n".encode()))
        elif "/inside" in request.path:
            write(_multipart(b"Location: https://169.254.169.254/secrets\r\n\r\n"))
        elif "/endless" in request.path:
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary={BOUNDARY}\r\n\r\n--{BOUNDARY}\r\n\r\n{{}}"
            )
            write(f"{head}\r\n--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\n".encode())
            for _ in range(4_000):
                write(b"x" * 65_536)
        else:
            write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno")
    return True


def _multipart(part: bytes) -> bytes:
    body = f"--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{BOUNDARY}\r\n".encode() + part
    body += f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
