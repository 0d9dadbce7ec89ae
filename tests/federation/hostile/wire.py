"""Attacks by bytes: too many, too slow, too early, in circles, or none of a language that we speak.

Spec: server-server API, #transactions, #resolving-server-names; and what every server has to hold out.
"""

import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import Any, Final

from hs_common.matrix.signing import SigningKey
from tests.federation.hostile.evil import V1
from tests.federation.hostile.guest import MALLORY, enter, has_heard, ours
from tests.federation.hostile.stage import EVIL, GONE, HONEST, Stage

Json = dict[str, Any]
STRANGER: Final = SigningKey("k1", b"s" * 32)
LARGE_BYTES: Final = 15 << 20
"""Just below what a transaction may have."""
EARLY_BYTES: Final = 60_000
EARLY_MESSAGES: Final = 20


def forged_requests(stage: Stage) -> str:
    """16. Requests in another server's name, signed by the attacker; and signed for another destination or body."""
    stage.honest.call("GET", f"{V1}/query/profile?user_id=@x:a.test")  # its key is known from here on
    variants: list[Json] = [
        {"origin": HONEST},
        {"destination": "other.test"},
        {"signed": b'{"pdus":[1]}'},
        {"key": SigningKey("none", b"n" * 32)},
        {"key": STRANGER},
    ]
    with stage.attack():
        for _, variant in zip(range(stage.count), cycle(variants), strict=False):
            status, answer = stage.evil.call("PUT", stage.evil.transaction(), {"pdus": [], "edus": []}, **variant)
            assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED"), (variant, answer)
    return f"401 M_UNAUTHORIZED: {answer['error'][:60]}"


def large_transactions(stage: Stage) -> str:
    """17. More events than a transaction may have, more ephemeral data, more bytes, more depth."""
    nested: Any = {}
    for _ in range(240):
        nested = {"a": nested}
    deep = b'{"pdus":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    bodies: list[tuple[int, Json | None, bytes | None]] = [
        (413, {"pdus": [{"room_id": "!x:y"}] * 51}, None),
        (413, {"pdus": [], "edus": [{"edu_type": "m.x", "content": {}}] * 101}, None),
        (400, None, deep),
        (200, {"pdus": [], "edus": [{"edu_type": "m.typing", "content": nested}] * 100}, None),
        (413, None, b'{"pdus":[],"x":"' + b"x" * (17 << 20) + b'"}'),
    ]
    with stage.attack():
        for _, (expected, body, raw) in zip(range(stage.count), cycle(bodies), strict=False):
            signed = None if raw is None else b"{}"
            status, answer = stage.evil.call("PUT", stage.evil.transaction(), body, raw=raw, signed=signed)
            assert status in (expected, 0 if expected == 413 else expected), (expected, status, str(answer)[:200])
    return "413 M_TOO_LARGE, 400 M_BAD_JSON; EDUs of no sense ignored"


def large_forgeries(stage: Stage) -> str:
    """18. Bodies as large as they may be, which are only found to be forged once they are read."""
    many = b",".join([b"{}"] * (LARGE_BYTES // 3))
    few = b",".join([b'"' + b"x" * 1000 + b'"'] * (LARGE_BYTES // 1003))
    kinds = cycle(((many, 413, EVIL), (few, 401, EVIL), (many, 401, GONE)))
    count = max(3, stage.count // 10)
    with stage.attack(count):
        for _, (items, expected, origin) in zip(range(count), kinds, strict=False):
            raw = b'{"pdus":[],"edus":[],"x":[' + items + b"]}"
            status, answer = stage.evil.call("PUT", stage.evil.transaction(), raw=raw, signed=b"{}", origin=origin)
            assert status == expected, answer
    return f"401 M_UNAUTHORIZED after {len(raw) >> 20} MiB; 413 for too many values; not read of unknown servers"


def repeated_transactions(stage: Stage) -> str:
    """19. The same transaction again and again."""
    room = stage.joined()
    stage.arrives(room)
    events = [dict(room.say(str(number)).pdu) for number in range(10)]
    body = {"origin": EVIL, "pdus": json.loads(json.dumps(events, default=dict)), "edus": []}
    path = stage.evil.transaction()
    before = len(stage.alice.timeline(room.room_id))
    with stage.attack():
        answers = {json.dumps(stage.evil.call("PUT", path, body), sort_keys=True) for _ in range(stage.count)}
        stage.arrives(room)
    assert len(answers) == 1
    assert len(stage.alice.timeline(room.room_id)) == before + 11
    return "200; the same answer each time, each event once"


def junk_edus(stage: Stage) -> str:
    """20. Ephemeral data for others' users, for rooms that one is not in, of no form."""
    room_id = stage.alice.create_room()
    since = stage.alice.call("GET", ("sync",))["next_batch"]
    me = stage.alice.user_id
    junk: list[Json] = [
        {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": MALLORY, "typing": True}},
        {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": me, "typing": True}},
        {
            "edu_type": "m.receipt",
            "content": {room_id: {"m.read": {MALLORY: {"event_ids": ["$x"], "data": {"ts": 1}}}}},
        },
        {"edu_type": "m.presence", "content": {"push": [{"user_id": me, "presence": "offline"}] * 100}},
        {"edu_type": "m.presence", "content": {"push": [{"user_id": MALLORY, "presence": "online"}]}},
        {
            "edu_type": "m.direct_to_device",
            "content": {"sender": me, "type": "m.x", "message_id": "x", "messages": {me: {"*": {}}}},
        },
        {"edu_type": "m.device_list_update", "content": {"user_id": me, "device_id": "X", "stream_id": 1}},
        {"edu_type": "m.signing_key_update", "content": {"user_id": me, "master_key": {}}},
        {"edu_type": 7, "content": []},
    ]
    edus = [edu for _, edu in zip(range(100), cycle(junk), strict=False)]
    with stage.attack():
        for _ in range(stage.count):
            status, answer = stage.evil.send(edus=edus)
            assert (status, answer) == (200, {"pdus": {}})
    synced = stage.alice.call("GET", ("sync",), query=f"?since={since}&timeout=0")
    assert room_id not in synced.get("rooms", {}).get("join", {}), synced
    assert not synced.get("to_device", {}).get("events")
    return "200; nothing of it is applied"


def slow_requests(stage: Stage) -> str:
    """21. Connections that say a byte now and then: within TLS, within the head, within the body."""
    head = f"PUT {V1}/send/x HTTP/1.1\r\nHost: a.test\r\n".encode()
    whole = head + b"Authorization: X-Matrix origin=evil.test\r\nContent-Length: 100000\r\n\r\n"
    count = max(3, stage.count)
    with ExitStack() as stack, stage.attack(count):
        drips = [Drip(stage, stack, (b"", head, whole)[number % 3], number % 3 == 0) for number in range(count)]
        end = time.monotonic() + (5.0 if count < 10 else 20.0)
        answered = []
        while time.monotonic() < end:
            for drip in drips:
                drip.go_on()
            began = time.monotonic()
            status, _ = stage.honest.call("GET", f"{V1}/version")
            answered.append((time.monotonic() - began) * 1000)
            assert status == 200
            time.sleep(0.5)
    return f"others are answered, at worst after {max(answered):.0f} ms, beside {count} such connections"


class Drip:
    """One connection that comes in drops."""

    def __init__(self, stage: Stage, stack: ExitStack, begun: bytes, is_in_handshake: bool) -> None:
        address = ("127.0.0.1", stage.server.federation_port)
        self._socket = stack.enter_context(socket.create_connection(address, 10))
        if is_in_handshake:
            self._rest = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500
        else:
            self._socket = stack.enter_context(stage.evil.tls().wrap_socket(self._socket, server_hostname="a.test"))
            self._rest = b"x" * 1000
            self._socket.sendall(begun + (b"X-Slow: " if b"\r\n\r\n" not in begun else b""))

    def go_on(self) -> bool:
        """One byte more; whether anybody still listens."""
        with suppress(OSError):
            self._socket.sendall(self._rest[:1])
            self._rest = self._rest[1:]
            return True
        return False


def slow_answers(stage: Stage) -> str:
    """22. Answers that come a byte now and then: what waits for them waits alone."""
    room, other = stage.joined(), stage.joined()
    count = min(stage.count, 10)
    stage.evil.take_over = _slowly("/get_missing_events", "/state_ids", "/event_auth")
    try:
        with stage.attack(count):
            for number in range(count):
                event = room.compose("m.room.message", {"body": str(number)}, prev=["$" + f"z{number:042}"])
                assert stage.evil.results(event) == {event.event_id: {}}
            began = time.monotonic()
            stage.arrives(other, "in another room")
            took_s = time.monotonic() - began
    finally:
        stage.evil.take_over = None
    stage.unseen(room, event.event_id)
    return f"another room of the same server goes on meanwhile ({took_s:.1f} s)"


def _slowly(*parts: str) -> Callable[[BaseHTTPRequestHandler], bool]:
    def take_over(request: BaseHTTPRequestHandler) -> bool:
        if not any(part in request.path for part in parts):
            return False
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
        with suppress(OSError):
            for _ in range(200):
                request.wfile.write(b" ")
                request.wfile.flush()
                time.sleep(0.3)
        return True

    return take_over


def early_answers(stage: Stage) -> str:
    """23. Answers to our transactions before these are sent: good, garbage, endless, cut off."""
    room = ours(stage)
    enter(stage.honest, f"@good:{HONEST}", room.room_id, "11")
    variants = cycle(EARLY)
    stage.evil.take_over = lambda request: _early(request, next(variants))
    count = max(2, stage.count // 10)
    try:
        with stage.attack(count):
            for _ in range(count):
                for _ in range(EARLY_MESSAGES):
                    last = stage.alice.say(room.room_id, "x" * EARLY_BYTES)
                stage.until(partial(has_heard, stage.honest, room, last), "the honest server hears all")
    finally:
        stage.evil.take_over = None
    stage.evil.call("GET", f"{V1}/query/profile?user_id={stage.alice.user_id}")  # it is there again
    stage.until(lambda: has_heard(stage.evil, room, last), "nothing is lost: it is sent once there is an answer")
    return "sent again later, backed off meanwhile; others get theirs at once"


def _garbage(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(os.urandom(4096))


def _good(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"pdus":{}}')
    request.wfile.flush()
    time.sleep(1.0)


def _good_and_more(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 50
    )


def _endless_head(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000)


def _endless_body(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2_000):
        request.wfile.write(b"8000\r\n" + b" " * 0x8000 + b"\r\n")


def _reset(request: BaseHTTPRequestHandler) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


EARLY: Final = (_good, _garbage, _good_and_more, _endless_head, _endless_body, _reset)


def _early(request: BaseHTTPRequestHandler, answer: Callable[[BaseHTTPRequestHandler], None]) -> bool:
    if "/send/" not in request.path:
        return False
    with suppress(OSError, ssl.SSLError):
        answer(request)
        request.wfile.flush()
    return True
