"""A client worker's endpoints of rooms with a real master on a real PostgreSQL, without a network.

`play(database_url, scenario)` runs a coroutine function with a RoomWorld of its own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from hs_common.config import Config
from hs_common.federation.outgoing import OtherServers, Outgoing
from hs_common.federation.policy_servers import PolicyServer, Unreachable
from hs_common.federation.remote import NO_REMOTE
from hs_common.http.authentication import Authenticator
from hs_common.http.credentials import hash_token
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.incoming import Incoming
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reply import Response, Streamed, error_response
from hs_common.http.router import Router
from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls, items
from hs_common.replication.calls import Call, NewSession, RegisterUser, SetAccountData
from hs_common.replication.entry import decode_body
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.storage.account_data import account_data
from hs_common.storage.queries import Queries
from hs_workers.client.moderation_wiring import moderation_endpoints
from hs_workers.client.room.elsewhere import Elsewhere, Nowhere, RemoteRoom
from hs_workers.client.room.third_party_inviting import IdentityServers
from hs_workers.client.rooms_wiring import Outside, room_endpoints
from tests.common.federation.far_server import Keys
from tests.master.harness import KEY, SERVER, START_MS, TestMaster, master
from tests.reactor import run
from tests.workers.client.world import Answer, config

V3 = "/_matrix/client/v3"
V1 = "/_matrix/client/v1"
Json = dict[str, Any]


class Link:
    """The master as a worker's link; every call passes its encoding. `calls` counts what was asked; `before` happens
    first, once each, by the name of the call."""

    def __init__(self, m: TestMaster) -> None:
        self._master = m
        self.calls: list[Call] = []
        self.before: dict[str, list[Callable[[], Awaitable[Any]]]] = {}

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> calls.Answer:
        name = type(call).__name__
        if self.before.get(name):
            await self.before[name].pop(0)()
        received = calls.decode_call(name, calls.encode(call))
        self.calls.append(received)
        return await self._master.call(received, key)


def nobody(db: Queries, master: Any) -> Outgoing:
    """A way to other servers that leads nowhere."""
    others = OtherServers(
        remote=NO_REMOTE,
        quick=NO_REMOTE,
        keys=Keys(),
        server_name=SERVER,
        key=KEY,
        clock=Clock(),
        now_ms=lambda: START_MS,
        random=bytes,
        uuid=lambda: "00000000-0000-4000-8000-000000000000",
    )
    return Outgoing(db, master, others)


class User:
    """Somebody who calls the endpoints."""

    def __init__(self, world: "RoomWorld", user_id: str, token: str) -> None:
        self._world = world
        self.user_id = user_id
        self.token = token
        self._transactions = count()

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        return await self._world.ask(method, path, body, self.token, **query)

    async def ok(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of an answer, which must be 200."""
        answer = await self.ask(method, path, body, **query)
        assert answer.status == 200, answer
        return answer.json

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str | None]:
        """Status and errcode of an answer, which must be an error with a sentence."""
        answer = await self.ask(method, path, body, **query)
        assert answer.status >= 400, answer
        assert answer.json["error"], answer
        return answer.status, answer.errcode

    async def create(self, **wishes: Any) -> str:
        """A new room's id."""
        room_id: str = (await self.ok("POST", "/createRoom", wishes))["room_id"]
        return room_id

    async def join(self, room_id: str) -> None:
        await self.ok("POST", f"/rooms/{quote(room_id)}/join", {})

    async def send(self, room_id: str, body: str = "hi", event_type: str = "m.room.message", **content: Any) -> str:
        """A message's event id."""
        path = f"/rooms/{quote(room_id)}/send/{event_type}/t{next(self._transactions)}"
        sent: str = (await self.ok("PUT", path, {"msgtype": "m.text", "body": body, **content}))["event_id"]
        return sent

    async def relate(self, room_id: str, rel_type: str, parent: str, **content: Any) -> str:
        """A message that relates to another."""
        return await self.send(room_id, **{"m.relates_to": {"rel_type": rel_type, "event_id": parent}, **content})

    async def set_state(self, room_id: str, event_type: str, content: Json, state_key: str = "") -> str:
        """A state event's id."""
        path = f"/rooms/{quote(room_id)}/state/{event_type}/{quote(state_key)}"
        sent: str = (await self.ok("PUT", path, content))["event_id"]
        return sent

    async def state(self, room_id: str, event_type: str, state_key: str = "", **query: Any) -> Any:
        """The content of a state event."""
        return await self.ok("GET", f"/rooms/{quote(room_id)}/state/{event_type}/{quote(state_key)}", **query)

    async def event(self, room_id: str, event_id: str) -> Json:
        """One event."""
        found: Json = await self.ok("GET", f"/rooms/{quote(room_id)}/event/{quote(event_id, safe='')}")
        return found

    async def messages(self, room_id: str, **query: Any) -> Json:
        """A page of messages."""
        page: Json = await self.ok("GET", f"/rooms/{quote(room_id)}/messages", **{"dir": "b", **query})
        return page

    async def set_account_data(self, data_type: str, content: Json) -> None:
        await self._world.link.call(SetAccountData(user_id=self.user_id, type=data_type, content=orjson.dumps(content)))


class RoomWorld:
    """One worker and its master. `now_ms`: the time of day, `seconds`: its clock, `elsewhere`: other servers."""

    def __init__(
        self,
        m: TestMaster,
        settings: Config,
        policy_server: PolicyServer,
        identity_servers: IdentityServers | None = None,
    ) -> None:
        numbers = count()
        self.master = m
        self.link = Link(m)
        self.db = m.db
        self.now_ms = START_MS + 1_000_000
        self.seconds = 0.0
        self.elsewhere: Elsewhere = Nowhere()
        self.router = Router()
        outside = Outside(
            db=m.db,
            master=self.link,
            now_ms=lambda: self.now_ms,
            seconds=lambda: self.seconds,
            random=lambda size: next(numbers).to_bytes(size, "big"),
            outgoing=nobody(m.db, self.link),
            policy_server=policy_server,
            elsewhere=self,
            identity_servers=identity_servers,
        )
        for instance in [*room_endpoints(settings, outside), *moderation_endpoints(settings, outside)]:
            self.router.add(instance, role="client")
        authenticator = Authenticator(m.db, lambda: self.now_ms, is_fresh=lambda: False)
        self._dispatcher = Dispatcher(authenticator, RateLimits({}, lambda: 0.0))

    async def room(self, room_id: str, via: Sequence[str], suggested_only: bool) -> RemoteRoom | None:
        """What other servers tell of a room."""
        return await self.elsewhere.room(room_id, via, suggested_only)

    async def user(self, name: str, *, profile: Json | None = None, device: str = "D", **more: Any) -> User:
        """A new account with a session."""
        user_id, token = f"@{name}:{SERVER}", f"token_{name}_{device}"
        fields = {field: orjson.dumps(value) for field, value in (profile or {}).items()}
        session = NewSession(device_id=device, token_hash=hash_token(token))
        await self.link.call(RegisterUser(user_id=user_id, password_hash=None, profile=fields, session=session, **more))
        return User(self, user_id, token)

    async def device(self, user: User, device: str) -> User:
        """The same user on another device."""
        token = f"{user.token}_{device}"
        session = NewSession(device_id=device, token_hash=hash_token(token))
        await self.link.call(calls.OpenSession(user_id=user.user_id, session=session))
        return User(self, user.user_id, token)

    async def data(self, user: User, data_type: str, room_id: str = "") -> Any:
        """Account data."""
        stored = await account_data(self.db, user.user_id, room_id, data_type)
        return None if stored is None else orjson.loads(stored[0])

    async def set_room_data(self, user: User, room_id: str, data_type: str, content: Json) -> None:
        """Account data of a room."""
        await self.link.call(
            SetAccountData(user_id=user.user_id, room_id=room_id, type=data_type, content=orjson.dumps(content))
        )

    def logged(self, room_id: str) -> list[str]:
        """The events of a room that the log told of."""
        told = [
            items.decode(item.kind, item.body) for entry in self.master.entries for item in decode_body(entry).items
        ]
        return [item.json.decode() for item in told if isinstance(item, items.EventItem) and item.room_id == room_id]

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **query: Any) -> Answer:
        """The answer to a request; `path` below /v3 may leave that out, `body` is JSON, or bytes as they are."""
        path, _, given = path.partition("?")
        path = path if path.startswith("/_") else V3 + path
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        headers = Headers({"Authorization": [f"Bearer {token}"]} if token else {})
        query_string = given or urlencode({key.rstrip("_"): value for key, value in query.items()})
        incoming = Incoming(method, path, query_string.encode(), headers, BytesIO(content), "r1", "10.0.0.1")
        try:
            match = self.router.find(method, path.encode())
        except MatrixError as error:
            response = error_response(error)
        else:
            route = match.target
            assert route.call is not None
            answered = await self._dispatcher.answer(incoming, route.declaration, match.parameters, route.call)
            response = await whole(answered)
        assert isinstance(response.body, bytes)
        return Answer(response.status, orjson.loads(response.body))


async def whole(answered: Response | Streamed) -> Response:
    """A response that is sent piece by piece, as one."""
    if isinstance(answered, Response):
        return answered
    pieces = []
    while piece := await answered.source.read(1_000):
        pieces.append(piece)
    answered.source.close()
    return Response(answered.status, b"".join(pieces), answered.headers)


@asynccontextmanager
async def room_world(
    database_url: str,
    policy_server: PolicyServer | None = None,
    identity_servers: IdentityServers | None = None,
    **sections: Json,
) -> AsyncIterator[RoomWorld]:
    """A world, until the block ends."""
    settings = config(**{"server": {"name": SERVER}, **sections})
    async with master(database_url) as m:
        yield RoomWorld(m, settings, policy_server or Unreachable(), identity_servers)


Scenario = Callable[[RoomWorld], Awaitable[None]]


def play(
    database_url: str,
    scenario: Scenario,
    policy_server: PolicyServer | None = None,
    identity_servers: IdentityServers | None = None,
    **sections: Json,
) -> None:
    """Runs a scenario."""

    async def played() -> None:
        async with room_world(database_url, policy_server, identity_servers, **sections) as world:
            await scenario(world)

    run(played(), timeout=60)


def room_path(room_id: str, rest: str) -> str:
    """A path below /rooms/{roomId}."""
    return f"/rooms/{quote(room_id)}/{rest}"


def relations_path(room_id: str, event_id: str, rest: str = "") -> str:
    """A path of /relations."""
    return f"{V1}/rooms/{quote(room_id)}/relations/{quote(event_id, safe='')}{rest}"
