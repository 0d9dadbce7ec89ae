"""Synapse as a server that is measured: started here with a PostgreSQL of its own, alone or with workers.

Its workers are asked directly, as those of `split-direct` are, and are as many as those. It logs warnings only.
"""

import asyncio
import time
from pathlib import Path

from tests.bench.http_client import Address, Doors
from tests.bench.kept import Kept
from tests.bench.processes import Root, Tree
from tests.bench.servers import ServerError, free_port
from tests.bench.service import Registration
from tests.real_servers.synapse import Synapse, SynapseError

SYNAPSE_LAYOUTS = ("synapse", "synapse-workers")
_LOOK_S = 0.02


class SynapseServer:
    """A Synapse with data of its own."""

    def __init__(self, layout: str, parent_folder: Path | None, kept: Kept | None = None) -> None:
        self.name = layout
        self._synapse = Synapse(
            kept.port(free_port) if kept else free_port(),  # which is in its name
            with_postgres=True,
            with_workers=layout == "synapse-workers",
            log_level="WARNING",
            parent_folder=parent_folder,
            folder=kept.folder if kept else None,
        )
        self.address = Address(self._synapse.url)
        self.tree: Tree | None = None

    @property
    def database_url(self) -> str | None:
        """Its own."""
        return self._synapse.database_url

    async def register(self, registration: Registration) -> None:
        """Have it know an application service, for which it must start again. Raises ServerError."""
        path = self._synapse.folder / f"{registration.id}.yaml"
        path.write_text(registration.file())
        self._synapse.registrations.append(path)
        self._synapse.stop()
        await self.start()

    async def start(self) -> float:
        """Start it; answers the seconds until all of it answers. Raises ServerError."""
        began = time.monotonic()
        try:
            for _ in self._synapse.starting():
                await asyncio.sleep(_LOOK_S)
        except SynapseError as error:
            raise ServerError(str(error)) from error
        self.tree = Tree([Root(process_id) for process_id in self._synapse.process_ids])
        if self._synapse.client_urls:
            syncs, rest = (
                [Address(url) for url in urls] for urls in (self._synapse.sync_urls, self._synapse.client_urls)
            )
            self.address.doors = Doors(syncs, rest, Address(self._synapse.url))
        return time.monotonic() - began

    async def stop(self) -> None:
        """End its processes and its database."""
        self._synapse.stop_all()

    def remove(self) -> None:
        """Delete its data, unless they are to stay."""
        self._synapse.end()
