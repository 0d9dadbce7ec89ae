"""Servers that publish keys, without a network between them."""

from dataclasses import dataclass, field
from typing import Any

from hs_common.config.federation import Federation
from hs_common.federation.domains import Domains
from hs_common.federation.failures import ServerUnreachable
from hs_common.matrix.server_keys import OldKey, own_server_keys
from hs_common.matrix.signing import SigningKey, sign

DAY_MS = 24 * 3600 * 1000


@dataclass
class Server:
    """A server outside."""

    name: str
    key: SigningKey
    old: list[OldKey] = field(default_factory=list)
    is_up: bool = True
    asked: int = 0

    def answer(self, now_ms: int) -> dict[str, Any]:
        return own_server_keys(self.name, self.key, self.old, now_ms + DAY_MS)


class World:
    """Takes the place of the client that asks other servers. Notaries know every server, up or not."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000_000_000
        self.servers: dict[str, Server] = {}
        self.domains = Domains(Federation(), "us.example")
        self.forging = False

    def add(self, name: str) -> Server:
        key = SigningKey("1", name.encode().ljust(32, b"."))
        server = self.servers[name] = Server(name, key)
        return server

    async def get(self, destination: str, path: str, limits: object = None) -> Any:
        server = self._up(destination)
        assert path == "/_matrix/key/v2/server"
        return server.answer(self.now_ms)

    async def post(self, destination: str, path: str, body: dict[str, Any], limits: object = None) -> Any:
        notary = self._up(destination)
        assert path == "/_matrix/key/v2/query"
        answers = []
        for name in body["server_keys"]:
            answer = self.servers[name].answer(self.now_ms)
            if self.forging:
                answer["verify_keys"] = notary.answer(self.now_ms)["verify_keys"]
            answers.append(sign(answer, destination, notary.key))
        return {"server_keys": answers}

    def _up(self, name: str) -> Server:
        server = self.servers.get(name)
        if server is None or not server.is_up:
            raise ServerUnreachable(name, "connect", "it is down")
        server.asked += 1
        return server
