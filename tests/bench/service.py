"""An application service that costs little: it takes transactions, and tells who waits for which events.

Its registration is a file that the measured server is given; see `Registration`.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

_HEAD = re.compile(rb"(\w+) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_AWAY = b"HTTP/1.1 503 Away\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the server and the service know of each other."""

    id: str
    url: str
    as_token: str
    hs_token: str
    sender_localpart: str
    prefix: str  # of its ghosts' names

    @classmethod
    def made_up(cls, port: int) -> "Registration":
        """A new one, for a service that listens there."""
        name = f"bench{secrets.token_hex(4)}"
        return cls(name, f"http://127.0.0.1:{port}", secrets.token_hex(), secrets.token_hex(), name, f"{name}_")

    def file(self) -> str:
        """As a registration file; JSON is YAML too."""
        known = asdict(self)
        del known["prefix"]
        users = [{"regex": f"@{self.prefix}.*", "exclusive": True}]
        return json.dumps({**known, "rate_limited": False, "namespaces": {"users": users}}, indent=1)

    @classmethod
    def read(cls, path: Path) -> "Registration":
        """A file that `file` made."""
        known = yaml.safe_load(path.read_text())
        prefix = known["namespaces"]["users"][0]["regex"].removeprefix("@").removesuffix(".*")
        names = ("id", "url", "as_token", "hs_token", "sender_localpart")
        return cls(**{name: known[name] for name in names}, prefix=prefix)

    @property
    def port(self) -> int:
        """Where the service listens."""
        return int(self.url.rpartition(":")[2])


class Service:
    """Listens from `start` to `stop`. While `is_away` it answers 503. `on_event` is told of each event received."""

    def __init__(self) -> None:
        self.is_away = False
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        self._seen: set[bytes] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Answers the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 24)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                request = _HEAD.match(head)
                if request is None:
                    raise ConnectionError("not a request")
                writer.write(self._answer(request[2], body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # the server closed it

    def _answer(self, path: bytes, body: bytes) -> bytes:
        if b"/transactions/" not in path:
            return _OK
        if self.is_away:
            return _AWAY
        txn_id = path.rpartition(b"/")[2].partition(b"?")[0]
        if txn_id not in self._seen:
            self._seen.add(txn_id)
            for event in orjson.loads(body)["events"]:
                self.on_event(event)
        return _OK
