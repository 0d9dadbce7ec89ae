"""What other servers send, with a real master on a real PostgreSQL and other servers on paper; no network.

`play(database_url, scenario)` runs a coroutine function with a WritingWorld of its own. The far server is `far`.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from hs_common.federation.accounts import Accounts
from hs_common.federation.outgoing import OtherServers, Outgoing
from hs_common.http.reply import to_response
from hs_common.http.request import Request
from hs_common.http.router import Router
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.process.background import Background
from hs_common.process.shares import SHARDS
from hs_common.replication import calls, items
from hs_common.replication.calls import Call, RegisterUser
from hs_common.replication.entry import decode_body
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_workers.federation_inbound.writing import WritingOutside, WritingParts
from tests.common.federation.far_server import FarRoom, FarServer, FarServers, Keys
from tests.master.harness import KEY, SERVER, START_MS, TestMaster, master
from tests.reactor import reactor, run, sleep, until
from tests.workers.client.room_world import whole

FAR = "far.example"
ALICE = f"@alice:{SERVER}"
Json = dict[str, Any]


class Link:
    """The master as a worker's link; every call passes its encoding. `failures` are raised in place of the next."""

    def __init__(self, m: TestMaster) -> None:
        self._master = m
        self.calls: list[Call] = []
        self.failures: list[Exception] = []

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> calls.Answer:
        received = calls.decode_call(type(call).__name__, calls.encode(call))
        self.calls.append(received)
        if self.failures:
            raise self.failures.pop(0)
        return await self._master.call(received, key)


class WritingWorld:
    """One worker and its master."""

    def __init__(self, m: TestMaster, far: FarServer) -> None:
        numbers = count(1)
        self.master = m
        self.db = m.db
        self.far = far
        self.servers = FarServers(far)
        self.keys = Keys(**{SERVER: KEY})
        self.link = Link(m)
        self.background = Background()
        self.fetched: list[str] = []
        self.keys_asked: list[tuple[str, str]] = []  # (URL, key) of identity servers
        self.withdrawn: set[str] = set()
        self.accounts = Accounts(reactor.seconds)
        others = OtherServers(
            remote=self.servers,
            quick=self.servers,
            keys=self.keys,
            server_name=SERVER,
            key=KEY,
            clock=reactor,
            now_ms=lambda: START_MS + next(numbers),
            random=lambda size: next(numbers).to_bytes(size, "big"),
            uuid=lambda: f"00000000-0000-4000-8000-{next(numbers):012}",
        )
        self.outgoing = Outgoing(m.db, self.link, others)
        self.parts = WritingParts(
            WritingOutside(
                db=m.db,
                master=self.link,
                outgoing=self.outgoing,
                clock=reactor,
                background=self.background,
                me="00000000-0000-4000-8000-000000000001",
                colleagues=lambda: [],
                on_fetch=self.fetched.append,
                accounts=self.accounts,
                is_valid_key=self._is_valid_key,
            )
        )
        self.router = Router()
        for instance in self.parts.endpoints():
            self.router.add(instance, role="federation-inbound")
        self._transactions = count()

    async def _is_valid_key(self, url: str, public_key: str) -> bool:
        self.keys_asked.append((url, public_key))
        return public_key not in self.withdrawn

    async def ask(self, method: str, path: str, body: Json | None = None, origin: str = FAR, **query: Any) -> Any:
        """The JSON of an answer. Raises MatrixError."""
        match = self.router.find(method, path.encode())
        assert match.target.call is not None
        request = Request(
            method=method,
            uri_path=path,
            path=match.parameters,
            query_string=urlencode(query, doseq=True).encode(),
            origin=origin,
            json=None if body is None else orjson.loads(orjson.dumps(body, default=dict)),
        )
        response = to_response(await match.target.call(request))
        answered = (await whole(response)).body
        assert isinstance(answered, bytes)
        return orjson.loads(answered)

    async def refused(self, method: str, path: str, body: Json | None = None, **more: Any) -> tuple[int, str]:
        """Status and errcode of an error."""
        try:
            answer = await self.ask(method, path, body, **more)
        except MatrixError as error:
            return error.status, error.errcode
        raise AssertionError(f"{path} is not refused: {answer}")

    async def send(self, *events: Event | Json, edus: Sequence[Json] = (), origin: str = FAR) -> Json:
        """A transaction; the results by event id."""
        pdus = [dict(event.pdu) if isinstance(event, Event) else event for event in events]
        path = f"/_matrix/federation/v1/send/t{next(self._transactions)}"
        results: Json = (await self.ask("PUT", path, {"pdus": pdus, "edus": list(edus)}, origin=origin))["pdus"]
        return results

    async def settled(self) -> None:
        """Until no room is worked for."""
        for _ in range(2000):
            if not len(self.parts.queues):
                await self.parts.staging.flush()
                return
            await sleep(0.005)
        raise AssertionError("rooms are still worked for")

    async def enter(self, room: FarRoom, user_id: str = ALICE) -> None:
        """A user of ours joins a far room."""
        content = {"membership": "join"}
        assert await self.outgoing.rooms.join(room.room_id, user_id, content, [room.server.name])

    async def status(self, event: Event | str) -> int | None:
        """The standing of an event here; None if it is not known."""
        event_id = event if isinstance(event, str) else event.event_id
        row = await self.db.fetch_one("SELECT status FROM events WHERE event_id = %s", (event_id,))
        return None if row is None else int(row[0])

    async def timeline(self, room_id: str) -> list[str]:
        """The ids of the room's events in their order."""
        rows = await self.db.fetch(
            "SELECT event_id FROM timeline WHERE room_id = %s ORDER BY order_pos, order_sub", (room_id,)
        )
        return [event_id for (event_id,) in rows]

    async def membership(self, room_id: str, user_id: str = ALICE) -> str | None:
        """A local user's membership."""
        row = await self.db.fetch_one(
            "SELECT membership FROM local_membership WHERE user_id = %s AND room_id = %s"
            " AND to_pos = 9223372036854775807",
            (user_id, room_id),
        )
        return None if row is None else str(row[0])

    async def staged(self) -> int:
        row = await self.db.fetch_one("SELECT count(*) FROM inbound_pdu")
        assert row is not None
        return int(row[0])

    def logged(self, kind: type[items.Item]) -> list[Any]:
        """The items of one kind that the log told of."""
        told = [items.decode(one.kind, one.body) for entry in self.master.entries for one in decode_body(entry).items]
        return [item for item in told if isinstance(item, kind)]


def v1(name: str, *values: str) -> str:
    """A path of the federation."""
    return "/".join((f"/_matrix/federation/v1/{name}", *(quote(value, safe="") for value in values)))


def v2(name: str, *values: str) -> str:
    return v1(name, *values).replace("/v1/", "/v2/", 1)


def play(database_url: str, scenario: Callable[[WritingWorld], Awaitable[None]]) -> None:
    """Runs a scenario."""

    async def played() -> None:
        async with master(database_url) as m:
            world = WritingWorld(m, FarServer(FAR))
            await world.link.call(RegisterUser(user_id=ALICE, password_hash=None))
            await world.parts.start()
            # What is staged before this worker holds its shares is taken up later, when nobody here looks any more.
            await until(lambda: all(len(keeper.held) == SHARDS for keeper in world.parts._keepers))
            try:
                await scenario(world)
            finally:
                await world.parts.stop()
                await world.background.drained()

    run(played(), timeout=60)
