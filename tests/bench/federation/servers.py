"""The servers that do not exist, as far as they do: each has a port with TLS on loopback, shows its key, lets others
join its rooms and counts the events that it is sent.

All run on the benchmark's own event loop; what they take is not counted as the measured server's.
"""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import orjson

from hs_common.matrix import hashes
from hs_common.matrix.server_keys import own_server_keys
from hs_common.matrix.signing import SigningKey
from tests.bench.federation.rooms import ForeignRoom, Origin
from tests.certificates import CertificateFiles

_HEAD_LIMIT: Final = 64 << 10
_DAY_MS: Final = 24 * 3600 * 1000
_V1: Final = ("_matrix", "federation", "v1")

Answer = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Question:
    """A request: its method, the parts of its path, its body."""

    method: str
    path: tuple[str, ...]
    body: bytes


class ForeignServers:
    """So many servers, whose names are `localhost:PORT`. `rooms`: those that can be joined, by id."""

    def __init__(self, count: int, certificate: CertificateFiles) -> None:
        self._count = count
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self._listening: list[asyncio.Server] = []
        self._answers: dict[str, bytes] = {}
        self.origins: list[Origin] = []
        self.rooms: dict[str, ForeignRoom] = {}
        self.asked: list[str] = []
        """What was asked that nobody here could answer, for who wonders why something fails."""
        self.received = 0
        """Events that came by transactions."""
        self._woken = asyncio.Event()

    async def start(self) -> None:
        for number in range(self._count):
            listening = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=_HEAD_LIMIT)
            port = listening.sockets[0].getsockname()[1]
            self._listening.append(listening)
            self.origins.append(Origin(f"localhost:{port}", SigningKey("bench", number.to_bytes(32))))

    async def stop(self) -> None:
        for listening in self._listening:
            listening.close()

    def offer(self, room: ForeignRoom) -> None:
        """From now on the room can be joined. Its answer is put together now, not when it is wanted."""
        self.rooms[room.room_id] = room
        self._answers[room.room_id] = room.join_answer()

    async def until_received(self, count: int, limit_s: float) -> None:
        """Wait until so many events have come in all. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while self.received < count:
                self._woken.clear()
                await self._woken.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        origin = next(one for one in self.origins if one.name == f"localhost:{port}")
        with suppress(OSError, asyncio.IncompleteReadError):  # the other side has gone
            while (question := await _question(reader)) is not None:
                status, body = self._answer(origin, question)
                head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode())
                writer.write(body)
                await writer.drain()
        writer.close()

    def _answer(self, origin: Origin, question: Question) -> Answer:
        match question.method, question.path:
            case "GET", ("_matrix", "key", "v2", "server", *_):
                valid_until_ms = time.time_ns() // 1_000_000 + _DAY_MS
                return 200, orjson.dumps(own_server_keys(origin.name, origin.key, [], valid_until_ms))
            case "GET", ("_matrix", "federation", "v1", "make_join", room_id, user_id) if room_id in self.rooms:
                return 200, orjson.dumps(self.rooms[room_id].join_template(user_id))
            case "PUT", ("_matrix", "federation", "v2", "send_join", room_id, event_id) if room_id in self.rooms:
                self.rooms[room_id].joined(event_id, orjson.loads(question.body)["depth"])
                return 200, self._answers[room_id]
            case "PUT", ("_matrix", "federation", "v1", "send", _):
                return 200, self._take(orjson.loads(question.body))
            case "GET", ("_matrix", "federation", "v1", "version"):
                return 200, orjson.dumps({"server": {"name": "bench", "version": "1"}})
        self.asked.append(f"{question.method} /{'/'.join(question.path)}")
        return 404, orjson.dumps({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized"})

    def _take(self, transaction: Any) -> bytes:
        pdus = transaction.get("pdus", [])
        self.received += len(pdus)
        if pdus:
            self._woken.set()
        taken: dict[str, dict[str, str]] = {}
        for pdu in pdus:
            room = self.rooms.get(pdu["room_id"])
            if room is not None:
                taken[hashes.event_id(pdu, room.version)] = {}
        return orjson.dumps({"pdus": taken})


async def _question(reader: asyncio.StreamReader) -> Question | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length") or 0))
    path = tuple(unquote(part) for part in target.partition("?")[0].strip("/").split("/"))
    return Question(method, path, body)
