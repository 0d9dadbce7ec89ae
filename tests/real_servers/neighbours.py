"""A Synapse and a Viaduct that know each other, and a user at each. Both hear of the other by wires that can be cut."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Authority
from tests.real_servers.synapse import Synapse
from tests.real_servers.wire import Wire
from tests.scenarios.client import User, http_session, register
from tests.scenarios.federated import federated
from tests.scenarios.ports import PortBlock
from tests.scenarios.server import Server


@dataclass(frozen=True)
class Neighbours:
    """The two servers, and the wires between them."""

    viaduct: Server
    synapse: Synapse
    wires: tuple[Wire, Wire]

    def cut(self) -> None:
        """From now on neither hears of the other."""
        for wire in self.wires:
            wire.cut()

    def mend(self) -> None:
        for wire in self.wires:
            wire.mend()


@contextmanager
def running_neighbours(database_url: str) -> Iterator[Neighbours]:
    """Both running; each has a name with a port, so that they find each other without DNS."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-real-")))
        folder.chmod(0o755)
        authority = Authority(folder)
        ports = stack.enter_context(PortBlock())
        synapse = stack.enter_context(Synapse(ports.first, ports.first + 1, authority))
        assert synapse.federation_port is not None
        viaduct = Server(database_url=database_url)
        viaduct.reserve()
        stack.callback(viaduct.release)
        to_synapse = stack.enter_context(Wire(synapse.federation_port))
        to_viaduct = stack.enter_context(Wire(viaduct.federation_port))
        viaduct.name = f"localhost:{to_viaduct.port}"
        places = {synapse.name: to_synapse.port}
        viaduct.settings = federated(viaduct, places, authority, "localhost", "127.0.0.1")
        stack.enter_context(viaduct)
        yield Neighbours(viaduct, synapse, (to_synapse, to_viaduct))


def play(neighbours: Neighbours, steps: Callable[[User, User], Awaitable[None]]) -> None:
    """Alice is at Viaduct, Bob at Synapse."""

    async def prepared() -> None:
        async with http_session() as http:
            alice = await register(http, [neighbours.viaduct.url], "alice")
            bob = await register(http, [neighbours.synapse.url], "bob")
            await steps(alice, bob)

    try:
        asyncio.run(prepared())
    except BaseException:
        sys.stdout.write(f"{neighbours.synapse.output()}\n{neighbours.viaduct.output()}\n")
        raise
