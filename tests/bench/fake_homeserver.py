"""A homeserver in a few lines, in memory, for the benchmark's own tests: what the scenarios ask for, and no more."""

import asyncio
import itertools
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from tests.bench.http_client import Address, Connection

_REQUEST = re.compile(rb"(\w+) (\S+) HTTP/1.1\r\n")
_POLL_LIMIT_S = 1.0
Reply = tuple[int, dict[str, Any]]


class FakeHomeserver:
    """Answers on a port of its own from `start` to `stop`. `refuse` names a path that answers 500."""

    def __init__(self, refuse: str = "nothing") -> None:
        self.url = ""
        self.service_port: int | None = None  # of the application service that is told of every event
        self.seen: Counter[str] = Counter()
        self._refuse = refuse
        self._numbers = itertools.count(1)
        self._timeline: list[dict[str, Any]] = []  # of all rooms
        self._to_device: list[dict[str, Any]] = []  # as if each was for everybody
        self._files: list[bytes] = []
        self._unsent: list[dict[str, Any]] = []  # what the service has not received
        self._happened = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"

    def stop(self) -> None:
        """Listen no longer."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                body = await reader.readexactly(int(length.group(1))) if length else b"{}"
                request = _REQUEST.match(head)
                assert request is not None
                status, encoded = await self._reply(request[2].decode(), body)
                writer.write(b"HTTP/1.1 %d .\r\nContent-Length: %d\r\n\r\n%s" % (status, len(encoded), encoded))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _reply(self, target: str, body: bytes) -> tuple[int, bytes]:
        if "/media/" in target:
            return self._media(target, body)
        status, answer = await self._answer(target, orjson.loads(body))
        return status, orjson.dumps(answer)

    def _media(self, target: str, body: bytes) -> tuple[int, bytes]:
        name = target.rpartition("/")[2]
        if name == "upload":
            self._files.append(body)
            return 200, orjson.dumps({"content_uri": f"mxc://fake/{len(self._files) - 1}"})
        return 200, self._files[int(name.partition("?")[0])]

    async def _answer(self, target: str, body: dict[str, Any]) -> Reply:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = parts[6] if parts[4:5] == ["rooms"] else parts[-1] if "join" not in parts else "join"
        self.seen[name] += 1
        if name == self._refuse:
            return 500, {"errcode": "M_UNKNOWN", "error": "refused"}
        if "sendToDevice" in parts:
            self._to_device.append(body)
            return 200, {}
        if name == "sync" and "unstable" not in parts:
            return await self._sync(query.get("since", "0.0"), int(query["timeout"]))
        if name == "send":
            return await self._send(parts[5], body)
        if name == "ping":
            await self._tell()
        number = next(self._numbers)
        replies: dict[str, dict[str, Any]] = {
            "versions": {"versions": ["v1.19"]},
            "register": {"user_id": f"@{body.get('username')}:fake", "access_token": str(number), "device_id": "D"},
            "sync": {"pos": str(number)},
            "search": {"search_categories": {"room_events": {"results": [{}]}}},
            "upload": {},
            "query": {"device_keys": body.get("device_keys")},
            "whoami": {"user_id": "@bot:fake"},
            "ping": {},
            "createRoom": {"room_id": f"!{number}:fake"},
            "messages": {"chunk": [{}] * int(query.get("limit", 0)), "end": "more"},
            "join": {},
        }
        return 200, replies[name]

    async def _send(self, room_id: str, content: dict[str, Any]) -> Reply:
        self._timeline.append({"room_id": room_id, "content": content})
        self._happened.set()
        self._happened = asyncio.Event()
        if self.service_port is not None:
            self._unsent.append({"type": "m.room.message", "content": content})
            await self._tell()
        return 200, {"event_id": f"${len(self._timeline)}"}

    async def _tell(self) -> None:
        """A transaction with all that the service has not received."""
        connection = Connection(Address(f"http://127.0.0.1:{self.service_port}"))
        events, self._unsent = self._unsent, []
        body = orjson.dumps({"events": events})
        path = f"/_matrix/app/v1/transactions/{next(self._numbers)}"
        answer = await connection.request("PUT", path, token="hs", body=body)
        connection.close()
        if answer.status != 200:
            self._unsent = events + self._unsent

    async def _sync(self, token: str, timeout_ms: int) -> Reply:
        since, received = (int(part) for part in token.split("."))
        if (since, received) == (len(self._timeline), len(self._to_device)) and timeout_ms:
            waiting = min(timeout_ms / 1000, _POLL_LIMIT_S)
            await asyncio.wait([asyncio.ensure_future(self._happened.wait())], timeout=waiting)
        rooms: dict[str, Any] = {}
        for event in self._timeline[since:]:
            rooms.setdefault(event["room_id"], {"timeline": {"events": []}})["timeline"]["events"].append(event)
        return 200, {
            "next_batch": f"{len(self._timeline)}.{len(self._to_device)}",
            "rooms": {"join": rooms},
            "to_device": {"events": self._to_device[received:]},
        }
