"""The servers whose cost is measured, with a way for other servers over TLS: ours in a layout, or a Synapse.

Each has a PostgreSQL of its own with the same settings, durability on, and knows the names of the scripted servers.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from tests.bench.http_client import Address
from tests.bench.processes import Root, Tree
from tests.certificates import Authority
from tests.real_servers.synapse import Synapse
from tests.scenarios.federated import federated
from tests.scenarios.ports import PortBlock
from tests.scenarios.server import Server

RECEIVERS: Final = ("all-in-one", "split", "synapse")


class Receiver(Protocol):
    """As the bench's `Server`, and as other servers see it."""

    name: str
    server_name: str
    federation_url: str
    address: Address
    tree: Tree | None
    database_url: str | None

    def start(self, authority: Authority, others: Sequence[str]) -> None:
        """Start it on no data; `others` are names of servers on loopback."""

    def stop(self) -> None:
        """End it and remove its data."""


def receiver(layout: str) -> Receiver:
    """One of `RECEIVERS`."""
    return SynapseReceiver() if layout == "synapse" else ViaductReceiver(layout)


class ViaductReceiver:
    """This checkout."""

    def __init__(self, layout: str) -> None:
        self.name = layout
        self._server = Server(split=layout == "split")
        self._server.reserve()
        self.server_name = self._server.name = f"localhost:{self._server.federation_port}"
        self.federation_url = self._server.federation_url
        self.address = Address(self._server.url)
        self.tree: Tree | None = None
        self.database_url: str | None = None

    def start(self, authority: Authority, others: Sequence[str]) -> None:
        places = {name: int(name.partition(":")[2]) for name in others}
        self._server.settings = federated(self._server, places, authority, "localhost", "127.0.0.1")
        self._server.__enter__()
        self.tree = Tree([Root(self._server.process_id)])
        self.database_url = self._server.database_url

    def stop(self) -> None:
        self._server.__exit__(None, None, None)
        self._server.release()


class SynapseReceiver:
    """A Synapse in one process, its cheapest layout, with a PostgreSQL like ours."""

    def __init__(self) -> None:
        self.name = "synapse"
        self._ports = PortBlock()
        self._first = self._ports.__enter__().first
        self.server_name = f"localhost:{self._first + 1}"
        self.federation_url = f"https://127.0.0.1:{self._first + 1}"
        self.address = Address(f"http://127.0.0.1:{self._first}")
        self.tree: Tree | None = None
        self.database_url: str | None = None
        self._synapse: Synapse | None = None

    def start(self, authority: Authority, others: Sequence[str]) -> None:
        options: dict[str, Any] = {"with_postgres": True, "log_level": "WARNING"}
        self._synapse = Synapse(self._first, self._first + 1, authority, **options)
        self._synapse.start()
        self.database_url = self._synapse.database_url
        self.tree = Tree([Root(process_id) for process_id in self._synapse.process_ids])

    def stop(self) -> None:
        if self._synapse is not None:
            self._synapse.end()
        self._ports.__exit__(None, None, None)
