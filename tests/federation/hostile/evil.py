"""A server under the attacker's control: rooms on paper, a port with TLS, connections that are kept.

It answers as the paper server would (`tests/common/federation/far_server.py`), but for what an attack has put into
`instead`; with `raw` it takes a connection over, byte by byte.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.request_signing import authorization
from hs_common.matrix.server_keys import own_server_keys
from hs_common.matrix.signing import SigningKey
from tests.certificates import Authority
from tests.common.federation.far_server import FarServer, key_of
from tests.federation.foreign_server import DAY_MS, Answer, Asked, ForeignServer, Json

V1: Final = "/_matrix/federation/v1"
V2: Final = "/_matrix/federation/v2"
_TIMEOUT_S: Final = 60.0


class EvilServer(ForeignServer):
    """`instead`: answers by the beginning of a path, looked up before everything else."""

    def __init__(self, name: str, authority: Authority, target: str) -> None:
        super().__init__(name, authority, key_of(name))
        self.target = target
        self.target_url = ""
        self.paper = FarServer(name)
        self.instead: dict[str, Callable[[Asked], Answer]] = {}
        self.circles = 0
        """Requests that led on to another."""
        self._own = threading.local()
        self._numbers = iter(range(1, 1 << 62))

    # What it is asked

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        for beginning, answer in list(self.instead.items()):
            if asked.path.startswith(beginning):
                return answer(asked)
        if asked.path == "/_matrix/key/v2/server":
            return 200, own_server_keys(self.name, self.key, [], time.time_ns() // 1_000_000 + DAY_MS)
        if asked.path.startswith(f"{V1}/send/"):
            return 200, {"pdus": {}}
        query = {key: values[0] if len(values) == 1 else values for key, values in parse_qs(asked.query).items()}
        try:
            return 200, self.paper.ask(asked.method, asked.path, query, asked.body)
        except MatrixError as error:
            return error.status, {"errcode": error.errcode, "error": error.error}
        except (KeyError, TypeError, AttributeError):  # asked for what is not on the paper
            return 404, {"errcode": "M_NOT_FOUND", "error": "Not found"}

    def asked_for(self, part: str) -> list[Asked]:
        """The requests so far whose path has this in it."""
        return [asked for asked in self.asked if part in asked.path]

    # What it asks

    def call(
        self,
        method: str,
        uri: str,
        body: Json | None = None,
        *,
        raw: bytes | None = None,
        origin: str | None = None,
        key: SigningKey | None = None,
        destination: str | None = None,
        signed: bytes | None = None,
        is_patient: bool = True,
    ) -> Answer:
        """A request, signed as an honest one unless told otherwise, on a connection that this thread keeps. Asked to
        come later, it does, unless told otherwise."""
        content = raw if body is None else _encoded(body)
        header = authorization(
            method, uri, origin or self.name, destination or self.target, signed or content, key or self.key
        )
        while True:
            status, answer = self.exchange(method, uri, content, dict([header]))
            if status != 429 or not is_patient:
                return status, answer
            time.sleep(answer["retry_after_ms"] / 1000)

    def exchange(self, method: str, uri: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        """One request and its answer, whatever that is."""
        connection = getattr(self._own, "connection", None)
        for _ in range(2):
            if connection is None:
                connection = self._own.connection = self._connection()
            try:
                connection.request(method, uri, content, headers)
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                continue
            try:
                return response.status, json.loads(data) if data else None
            except ValueError:
                return response.status, data
        return 0, None

    def tls(self) -> ssl.SSLContext:
        """How it connects: it does not care who it attacks."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        context.check_hostname = False
        return context

    def _connection(self) -> http.client.HTTPSConnection:
        parts = urlsplit(self.target_url)
        host, port = parts.hostname or "", parts.port
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=self.tls())

    def transaction(self) -> str:
        """The path of a new transaction."""
        return f"{V1}/send/evil-{next(self._numbers)}"

    def send(self, *pdus: Event | Json, edus: list[Json] | None = None) -> Answer:
        """A transaction."""
        events = [dict(pdu.pdu) if isinstance(pdu, Event) else pdu for pdu in pdus]
        body = {"origin": self.name, "origin_server_ts": 1, "pdus": json_of(events), "edus": edus or []}
        return self.call("PUT", self.transaction(), body)

    def results(self, *pdus: Event | Json) -> dict[str, Any]:
        """What a transaction of events is answered, by event id."""
        status, answer = self.send(*pdus)
        assert status == 200, (status, answer)
        return dict(answer["pdus"])


def _encoded(body: Json) -> bytes:
    """Canonical JSON, or as near as what is no JSON of Matrix can be."""
    try:
        return encode(body)
    except TypeError:
        return json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def json_of(value: Any) -> Any:
    """Plain JSON of what may have read-only mappings in it."""
    return json.loads(json.dumps(value, default=dict))
