"""A client worker's endpoints of accounts, without a network: requests go through router, authentication and admission
to the endpoint and come back as status and JSON. Time stands still unless a test moves it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import orjson
from twisted.web.http_headers import Headers

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.requesters import ServiceRequesters
from hs_common.config import Config
from hs_common.config.rate_limits import Bucket
from hs_common.http.authentication import Authenticator
from hs_common.http.consent import ConsentGate
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Rate
from hs_common.http.incoming import Incoming
from hs_common.http.oauth_tokens import OAuthTokens
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reply import Response, error_response
from hs_common.http.router import Router
from hs_common.matrix.appservice import Namespace, Registration, encode_registration
from hs_common.matrix.errors import MatrixError
from hs_common.replication.ephemeral import Presence
from hs_common.storage.database import Database
from hs_workers.client.account_parts import Outside
from hs_workers.client.accounts_wiring import account_endpoints
from tests.reactor import reactor
from tests.workers.client.stand_in_master import StandInMaster

T = TypeVar("T")

V3 = "/_matrix/client/v3"
START_MS = 1_700_000_000_000
PASSWORD = "correct horse"
NAME = "example.org"
POLICY = {"id": "privacy", "version": "1", "name": "Privacy policy", "url": "https://example.org/privacy"}


@dataclass(frozen=True)
class Answer:
    status: int
    json: Any

    @property
    def errcode(self) -> str | None:
        errcode: str | None = self.json.get("errcode")
        return errcode


class Inline:
    """Threads that are none."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


@dataclass
class Presences:
    known: dict[str, Presence] = field(default_factory=dict)

    def presence_of(self, user_id: str) -> Presence | None:
        return self.known.get(user_id)


def config(**sections: dict[str, Any]) -> Config:
    """A config with open registration and cheap hashes; `sections` as in the config file."""
    given: dict[str, Any] = {
        "server": {"name": NAME, "public_baseurl": "https://matrix.example.org"},
        "registration": {"enabled": True, "requires_token": False},
        "accounts": {"password_hash": {"time_cost": 1, "memory_kib": 8}},
    }
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return msgspec.convert(given, Config, dec_hook=lambda kind, value: kind(value))


class World:
    """One worker. `master` records what it was asked; `now_ms` may be set."""

    def __init__(self, database_url: str, settings: Config, **outside: Any) -> None:
        self.now_ms = START_MS
        numbers = count()
        self.db = Database(database_url, reactor, lambda: 0.5)
        self.master = StandInMaster(self.db)
        self.presences = Presences()
        self.limits = RateLimits({Rate.LOGIN_FAILURE: Bucket(per_second=0.01, burst=3)}, lambda: self.now_ms / 1000)
        self.services = ServiceRegistry(self.db, settings.server.name, lambda: False)
        self.router = Router()
        parts = Outside(
            db=self.db,
            master=self.master,
            threads=Inline(),
            failures=self.limits,
            presence=self.presences,
            now_ms=lambda: self.now_ms,
            random=lambda size: sha256(str(next(numbers)).encode()).digest()[:size],
            services=self.services,
        )
        parts = replace(parts, **outside)
        self.settings, self.outside = settings, parts
        self.endpoints = account_endpoints(settings, parts)
        for instance in self.endpoints:
            self.router.add(instance, role="client")
        service_users = ServiceRequesters(self.db, self.services, lambda: False)
        authenticator = Authenticator(self.db, lambda: self.now_ms, lambda: False, service_users)
        self._authenticator = authenticator
        self.oauth_tokens: OAuthTokens | None = None
        if parts.oauth is not None:
            self.oauth_tokens = OAuthTokens(
                self.db, self.master, parts.oauth, settings.server.name, lambda: True, lambda: self.now_ms
            )
        self.consent = ConsentGate(settings.terms, settings.cluster.secret, settings.server.public_baseurl)
        self._dispatcher = Dispatcher(authenticator, self.limits, oauth=self.oauth_tokens, consent=self.consent)

    def use(self, instances: Iterable[object]) -> None:
        """These endpoints, and no others, from now on."""
        self.router = Router()
        for instance in instances:
            self.router.add(instance, role="client")

    def limit(self, limits: RateLimits) -> None:
        """Requests pass this gate from now on."""
        self._dispatcher = Dispatcher(self._authenticator, limits)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """The answer to a request. `path` below /v3 may leave that out; `body` is JSON, or bytes as they are."""
        response = await self.raw(method, path, body, token, headers, **query)
        assert isinstance(response.body, bytes)
        return Answer(response.status, orjson.loads(response.body))

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Response:
        """The same, as it is sent."""
        path, _, query_string = path.partition("?")
        path = path if path.startswith(("/_", "/.")) else V3 + path
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        if token:
            sent.addRawHeader("Authorization", f"Bearer {token}")
        query_string = query_string or urlencode(query)
        incoming = Incoming(method, path, query_string.encode(), sent, BytesIO(content), "r1", "10.0.0.1")
        try:
            match = self.router.find(method, path.encode())
        except MatrixError as error:
            response = error_response(error)
        else:
            route = match.target
            assert route.call is not None
            answered = await self._dispatcher.answer(incoming, route.declaration, match.parameters, route.call)
            assert isinstance(answered, Response)
            response = answered
        return response

    async def submit(self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Response:
        """The answer to a form."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self.raw("POST", path, urlencode(fields).encode(), headers=sent)

    async def register(self, name: str = "alice", **more: Any) -> dict[str, Any]:
        """A new user, as the server answered."""
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, **more}
        answer = await self.ask("POST", "/register", body)
        assert answer.status == 200, answer
        return dict(answer.json)

    async def login(self, user: str = "alice", password: str = PASSWORD, **more: Any) -> Answer:
        identifier = {"type": "m.id.user", "user": user}
        body = {"type": "m.login.password", "identifier": identifier, "password": password, **more}
        return await self.ask("POST", "/login", body)

    async def login_ok(self, user: str = "alice", **more: Any) -> dict[str, Any]:
        """A session of a user, who is registered first if need be."""
        if (await self.ask("GET", "/register/available", username=user)).status == 200:
            await self.register(user, inhibit_login=True)
        answer = await self.login(user, **more)
        assert answer.status == 200, answer
        return dict(answer.json)

    async def reserve(self, regex: str) -> None:
        """Registers an application service with that exclusive namespace of users."""
        kept = Registration(id="bridge", url=None, sender_localpart="bridge", users=(Namespace(regex, True),))
        await self.db.execute(
            "INSERT INTO appservices (service_id, registration, as_token_hash, hs_token, source, made_pos, pos)"
            " VALUES ('bridge', %s, 'x', 'hs', 'command', 1, 1)",
            (encode_registration(kept).decode(),),
        )

    async def join(self, user_id: str, room_id: str) -> None:
        """Makes a local user a member."""
        await self.db.execute(
            "INSERT INTO local_membership (user_id, room_id, membership, event_id, sender, from_pos)"
            " VALUES (%s, %s, 'join', '$join', %s, 1)",
            (user_id, room_id, user_id),
        )
        await self.join_remote(user_id, room_id)

    async def join_remote(self, user_id: str, room_id: str) -> None:
        """Makes a user of another server a member."""
        await self.db.execute(
            "INSERT INTO state (room_id, type, state_key, event_id, membership, from_pos)"
            " VALUES (%s, 'm.room.member', %s, '$join', 'join', 1)",
            (room_id, user_id),
        )


def with_password(password: str = PASSWORD, user: str = "alice", **more: Any) -> dict[str, Any]:
    """An `auth` object."""
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password, **more}


def below_user(user_id: str, rest: str) -> str:
    """A path below /user/{userId}."""
    return f"/user/{quote(user_id)}/{rest}"


Scenario = Callable[[World], Awaitable[None]]
