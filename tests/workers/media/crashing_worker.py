"""A media worker that dies at the worst moment. Arguments: database, folder, moment, and for an object store its
endpoint and keys; prints its port and serves.

Moments: `never`; `received`, all bytes are there and are not in their place; `kept`, they are in their place and no row
tells of them.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hs_workers.media.blobs import Digest, Piece
from tests.reactor import run, until
from tests.workers.media.object_store import ObjectStore
from tests.workers.media.world import media_worker


class Dying:
    """A store that takes the process with it. Stands before the real one."""

    def __init__(self, store: Any, moment: str) -> None:
        self._store = store
        self._moment = moment

    def receive(self) -> "DyingReceiving":
        return DyingReceiving(self._store.receive(), self._moment)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class DyingReceiving:
    """One content, up to that moment."""

    def __init__(self, receiving: Any, moment: str) -> None:
        self._receiving = receiving
        self._moment = moment

    async def keep(self, digest: Digest, rest: Sequence[Piece]) -> None:
        self._die_at("received")
        await self._receiving.keep(digest, rest)
        self._die_at("kept")

    def _die_at(self, moment: str) -> None:
        if moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiving, name)


async def serve(url: str, folder: Path, moment: str, *s3: str) -> None:
    """Until it dies, or its input ends."""
    options = {"s3": ObjectStore(*s3).options()} if s3 else {}
    async with media_worker(url, folder, wrap=lambda store: Dying(store, moment), **options) as world:
        sys.stdout.write(f"{world.served.port}\n")
        sys.stdout.flush()
        await until(lambda: os.getppid() == 1, timeout=300)


if __name__ == "__main__":
    run(serve(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]), 300)
