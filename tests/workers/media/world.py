"""A media worker on a real port, with a real database, a real folder and real thumbnail processes."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from prometheus_client import CollectorRegistry

from hs_common.config.egress import Egress
from hs_common.config.federation import Federation
from hs_common.config.media import Media as MediaConfig
from hs_common.federation.client import FederationClient, Identity
from hs_common.federation.domains import Domains
from hs_common.http.egress.client import EgressClient
from hs_common.http.egress.making import make_egress
from hs_common.http.incoming import Incoming
from hs_common.http.rate_limits import RateLimits
from hs_common.http.server_calls import ServerCaller
from hs_common.matrix.errors import unauthorized
from hs_common.matrix.signing import SigningKey
from hs_common.process.background import Background
from hs_common.storage.database import Database
from hs_workers.media.blobs import BlobStore
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.parts import MediaParts, Outside
from hs_workers.media.thumbnail_processes import ThumbnailProcesses
from tests.common.http.egress.outside import Seen
from tests.common.http.served import Answer, Served, compose, serving
from tests.reactor import reactor, run

NAME = "example.org"
"""Of the day's clock, which then moves by `later` alone. Files and objects are dated by the real one."""
SECRET = "a secret of some length"
V3 = "/_matrix/media/v3"
AUTHED = "/_matrix/client/v1/media"
ALICE = {"Authorization": "Bearer alice"}
ADMIN = {"Authorization": "Bearer admin"}
BOB = {"Authorization": "Bearer bob"}

_numbers = count()


@dataclass
class World:
    """One worker. `now_ms` may be set; `store` may be replaced by `wrap` when it is made."""

    served: Served
    db: Database
    folder: Path
    parts: MediaParts
    registry: CollectorRegistry
    background: Background
    moment: list[int]

    @property
    def store(self) -> Any:
        """Where bytes are kept. Tests replace its methods."""
        return self.parts.store

    @property
    def sweeper(self) -> Any:
        return self.parts.sweeper

    @property
    def processes(self) -> ThumbnailProcesses:
        return self.parts.processes

    async def upload(
        self, data: bytes, content_type: str | None = None, name: str | None = None, **more: str
    ) -> Answer:
        headers = {**ALICE, **({"Content-Type": content_type} if content_type else {}), **more}
        query = "" if name is None else "?" + urlencode({"filename": name})
        return await self.served.ask("POST", f"{V3}/upload{query}", data, {"Content-Length": str(len(data)), **headers})

    async def uploaded(self, data: bytes, content_type: str | None = None, name: str | None = None) -> str:
        """The media id of an upload that succeeds."""
        answer = await self.upload(data, content_type, name)
        assert answer.status == 200, answer
        return str(answer.json["content_uri"]).removeprefix(f"mxc://{NAME}/")

    async def download(self, media_id: str, rest: str = "", method: str = "GET", **headers: str) -> Answer:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.get(f"{AUTHED}/download/{NAME}/{media_id}{rest}", method, **more)

    async def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        connection = await self.served.connect()
        connection.write(compose(method, target, b"", {**ALICE, **headers}))
        try:
            return await connection.answer(head_only=method == "HEAD")
        finally:
            await connection.close()

    async def thumbnail(self, media_id: str, width: int, height: int, **query: str) -> Answer:
        parameters = urlencode({"width": width, "height": height, **query})
        return await self.get(f"{AUTHED}/thumbnail/{NAME}/{quote(media_id)}?{parameters}")

    def files(self) -> list[str]:
        """All files in the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def count(self, table: str) -> int:
        row = await self.db.fetch_one(f"SELECT count(*) FROM {table}")
        assert row is not None
        return int(row[0])

    async def contents(self) -> int:
        """How many contents there are, by the database: without those that were deleted and are still remembered."""
        row = await self.db.fetch_one("SELECT count(*) FROM media_blobs WHERE deletion_ts IS NULL")
        assert row is not None
        return int(row[0])

    async def later(self, seconds: float) -> None:
        """Moves the day's clock, after what goes on in the background."""
        await self.background.drained()
        self.moment[0] += round(seconds * 1000)


def nothing_is_found(name: str) -> list[str]:
    """The outside of a worker that is given none."""
    raise OSError(f"{name} has no address here")


def talking_with_nobody() -> FederationClient:
    """The federation of a worker that is given none."""
    unused: Any = None
    domains = Domains(Federation(enabled=False), NAME)
    return FederationClient(Identity(NAME, SigningKey("1", bytes(32))), domains, unused, unused, unused)


class OtherServers:
    """Every server is believed that says who it is."""

    def admit(self, origin: str) -> None:
        """All may come."""

    async def caller(self, incoming: Incoming) -> ServerCaller:
        said = incoming.headers.getRawHeaders(b"authorization", [b""])[0].decode()
        if not said.startswith("X-Matrix "):
            raise unauthorized("no signature")
        return ServerCaller(said.removeprefix("X-Matrix "), None)


@asynccontextmanager
async def media_worker(
    url: str, folder: Path, wrap: Callable[[BlobStore], BlobStore] = lambda store: store, **options: Any
) -> AsyncIterator[World]:
    """`options` as in the config's table `media`, and `time_limit_s`, `limits`, `egress`, `federation` and
    `shown_before_login`."""
    egress: EgressClient | None = options.pop("egress", None)
    federation: FederationClient | None = options.pop("federation", None)
    time_limit_s, limits = options.pop("time_limit_s", 10.0), options.pop("limits", None)
    shown_before_login = options.pop("shown_before_login", frozenset())
    config = msgspec.convert({"folder": str(folder), **options}, MediaConfig)
    moment = [round(time.time() * 1000)]  # proofs and signatures are dated by the real clock
    registry, background, db = CollectorRegistry(), Background(), Database(url, reactor, lambda: 0.5)
    outside = Outside(
        server_name=NAME,
        reactor=reactor,
        db=db,
        background=background,
        metrics=MediaMetrics(registry),
        egress=egress or make_egress(reactor, Egress(), Seen(), lookup=nothing_is_found).client,
        federation=federation or talking_with_nobody(),
        now_ms=lambda: moment[0],
        random=random,
        shared_secret=SECRET,
        shown_before_login=shown_before_login,
        wrap=wrap,
        thumbnail_time_limit_s=time_limit_s,
    )
    parts = MediaParts(config, outside)
    await parts.store.start()
    gate = limits or RateLimits({}, reactor.seconds)
    try:
        async with serving(
            *parts.endpoints, limits=gate, trusted=lambda address: True, servers=OtherServers()
        ) as served:
            served.accounts.add("admin", user_id=f"@admin:{NAME}", admin=True)
            for name in ("alice", "bob"):
                served.accounts.add(name, user_id=f"@{name}:{NAME}")
            yield World(served, db, folder, parts, registry, background, moment)
    finally:
        await background.drained()
        await parts.close()
        await db.close()


def random(size: int) -> bytes:
    """Never the same twice."""
    return sha256(str(next(_numbers)).encode()).digest()[:size]


Play = Callable[[World], Awaitable[None]]


def playing(url: str, folder: Path, play: Play, timeout: float = 60.0, **options: Any) -> None:
    """The play on a worker of its own."""

    async def perform() -> None:
        async with media_worker(url, folder, **options) as world:
            await play(world)

    run(perform(), timeout)
