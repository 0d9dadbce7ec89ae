"""A stand-in for an authentication service to which a server leaves its accounts, such as MAS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from tests.web_servers import serving

SECRET: Final = "known to the service and to the server"


@dataclass
class AuthenticationService:
    """What it says of tokens; `asked` counts how often."""

    port: int = 0
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: int = 0

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def settings(self) -> str:
        """The server's config, as far as it is about this."""
        return f'\n[oauth]\nissuer = "{self.issuer}"\nsecret = "{SECRET}"\n'

    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        lists = {"response_types_supported": ["code"], "grant_types_supported": ["authorization_code"]}
        lists |= {"response_modes_supported": ["query"], "code_challenge_methods_supported": ["S256"]}
        names = ("authorization", "token", "revocation", "registration", "introspection")
        return {"issuer": self.issuer, **lists, **{f"{name}_endpoint": f"{self.issuer}{name}" for name in names}}


@contextmanager
def authentication_service() -> Iterator[AuthenticationService]:
    """Runs until the block ends."""
    service = AuthenticationService()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(service.metadata())

        def do_POST(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {SECRET}"
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            service.asked += 1
            self._answer(service.tokens.get(form["token"][0], {"active": False}))

        def _answer(self, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answering)) as web:
        service.port = web.server_port
        yield service
