"""A Synapse and a Viaduct that know each other, started once."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.real_servers.synapse import Synapse
from tests.scenarios.ports import PortBlock
from tests.scenarios.server import Server
from tests.services import TestPostgres


@dataclass(frozen=True)
class Neighbours:
    """The two servers."""

    viaduct: Server
    synapse: Synapse


@pytest.fixture(scope="session")
def neighbours(postgres: TestPostgres) -> Iterator[Neighbours]:
    """Both running; each has a name with a port, so that they find each other without DNS."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-real-")))
        folder.chmod(0o755)
        authority = Authority(folder)
        ports = stack.enter_context(PortBlock())
        synapse = stack.enter_context(Synapse(ports.first, ports.first + 1, authority))
        viaduct = Server(database_url=stack.enter_context(postgres.database()))
        viaduct.reserve()
        stack.callback(viaduct.release)
        viaduct.name = f"localhost:{viaduct.federation_port}"
        files = authority.issue("localhost", "127.0.0.1")
        viaduct.settings = f"""
[egress]
ca_file = "{authority.ca_file}"

[federation]
resolve = ["{synapse.name}=127.0.0.1:{synapse.federation_port}"]
tls_port = {viaduct.federation_port}
tls_address = "127.0.0.1"
tls_certificate_file = "{files.certificate}"
tls_key_file = "{files.key}"
"""
        stack.enter_context(viaduct)
        yield Neighbours(viaduct, synapse)
