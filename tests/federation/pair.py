"""Two Viaducts that talk with each other over TLS on loopback, and a stand-in for a third server that both know."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg2

from tests.certificates import Authority
from tests.federation.foreign_server import ForeignServer
from tests.scenarios.federated import federated
from tests.scenarios.server import Server
from tests.services import TestPostgres

A: Final = "a.test"
B: Final = "b.test"
C: Final = "c.test"


@dataclass(frozen=True)
class Pair:
    """The servers a.test and b.test, and c.test, which a test plays."""

    a: Server
    b: Server
    c: ForeignServer
    authority: Authority

    def enter(self, room_id: str, server_name: str) -> None:
        """Makes a.test believe that another server is in a room from its beginning on."""
        self.run_at_a("INSERT INTO room_servers (room_id, server, from_pos) VALUES (%s, %s, 0)", room_id, server_name)

    def run_at_a(self, statement: str, *values: object) -> None:
        """Runs a statement in the database of a.test."""
        connection = psycopg2.connect(self.a.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
        finally:
            connection.close()

    def ask_a(self, method: str, uri: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """A request of c.test to a.test."""
        return self.c.ask(self.a.federation_url, A, method, uri, body)


@contextmanager
def pair_of_servers(postgres: TestPostgres, *, split: bool = False) -> Iterator[Pair]:
    """Both running. With `split` a.test runs in several processes."""
    with ExitStack() as stack:
        urls = [stack.enter_context(postgres.database()) for _ in range(2)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-federation-")))
        folder.chmod(0o755)
        authority = Authority(folder)
        foreign = stack.enter_context(ForeignServer(C, authority))
        servers = [Server(name=A, split=split, database_url=urls[0]), Server(name=B, database_url=urls[1])]
        for server in servers:
            server.reserve()
            stack.callback(server.release)
        places = {A: servers[0].federation_port, B: servers[1].federation_port, C: foreign.port}
        for server in servers:
            assert server.name is not None
            server.settings = federated(server, places, authority, server.name)
            stack.enter_context(server)
        yield Pair(servers[0], servers[1], foreign, authority)
