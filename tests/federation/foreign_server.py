"""Another homeserver as a test wants it: it has a name and keys, signs requests, and answers what it is told to answer,
over TLS on loopback.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from hs_common.matrix.canonical_json import encode
from hs_common.matrix.request_signing import authorization
from hs_common.matrix.server_keys import own_server_keys
from hs_common.matrix.signing import SigningKey
from tests.certificates import Authority

DAY_MS: Final = 24 * 3600 * 1000
_POLL_S: Final = 0.02

Json = dict[str, Any]
Answer = tuple[int, Any]


@dataclass(frozen=True)
class Asked:
    """A request that it got. `path` is without the query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


@dataclass
class ForeignServer:
    """Use it as `with ForeignServer("c.test", authority) as server`. `answers`: by "METHOD /path"; else it is 404."""

    name: str
    authority: Authority
    key: SigningKey = field(default_factory=lambda: SigningKey("c", b"c" * 32))
    answers: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    also_named: tuple[str, ...] = ()
    """Other names that its certificate is for."""
    take_over: Callable[[BaseHTTPRequestHandler], bool] | None = None
    """Answers a request by itself, before the body is read, on a connection that ends with it; False: not this one."""

    def __enter__(self) -> Self:
        files = self.authority.issue(self.name, *self.also_named)
        server = _Listening(("127.0.0.1", 0), _Request)
        server.foreign = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=[_POLL_S], daemon=True)
        self._thread.start()
        self.port = server.server_port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, asked: Asked) -> Answer:
        """What it answers."""
        self.asked.append(asked)
        if asked.path == "/_matrix/key/v2/server":
            return 200, own_server_keys(self.name, self.key, [], time.time_ns() // 1_000_000 + DAY_MS)
        found = self.answers.get(f"{asked.method} {asked.path}")
        return found(asked) if found is not None else (404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized"})

    def ask(
        self,
        url: str,
        destination: str,
        method: str,
        uri: str,
        body: Json | None = None,
        *,
        raw: bytes | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """Sends a signed request to a server at that URL. `raw` replaces the body, `headers` the signature."""
        content = raw if body is None else encode(body)
        sent = headers
        if sent is None:
            sent = [authorization(method, uri, self.name, destination, content, self.key)]
        parts = urlsplit(url)
        connection: HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.authority.ca_file))
            context.check_hostname = False
            connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=40, context=context)
        else:
            connection = HTTPConnection(parts.hostname or "", parts.port, timeout=40)
        connection.request(method, uri, content, dict(sent))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, json.loads(data) if data else None


class _Listening(ThreadingHTTPServer):
    foreign: ForeignServer
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break off are what tests do."""


class _Request(BaseHTTPRequestHandler):
    server: _Listening
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        take_over = self.server.foreign.take_over
        if take_over is not None and take_over(self):
            self.close_connection = True
            return
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        asked = Asked(
            self.command, parts.path, parts.query, dict(self.headers.items()), json.loads(data) if data else None
        )
        status, body = self.server.foreign.answer(asked)
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_POST = do_PUT = _any

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what it was asked is kept."""
