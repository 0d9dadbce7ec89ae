"""A user at a plain HTTP client, for what libraries do not speak and for requests sent to a chosen process.

Paths are given as their segments, which are quoted here: `await alice.put(("rooms", room_id, "typing", user_id), …)`.
An answer with another status than the expected one fails the play with the whole exchange in the message.
"""

import itertools
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

REQUEST_LIMIT_S: Final = 40.0  # above the longest long poll of the plays
SYNC_ROUNDS: Final = 40  # syncs until what is waited for must have been seen
LONG_POLL_MS: Final = 2_000
PASSWORD: Final = "correct horse battery staple"

_names = itertools.count()

Path = Sequence[str]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the parsed body, the headers."""

    status: int
    body: Any
    headers: Mapping[str, str]


def unique(name: str) -> str:
    """A local part, alias or transaction id that no other play on the same server uses."""
    return f"{name}-{os.getpid()}-{next(_names)}"


class Caller:
    """Sends requests to a server, each to one of its processes; nobody is logged in."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        """`urls`: where requests may go. Each goes to one chosen at random."""
        self.http = http
        self.urls = list(urls)
        self.access_token: str | None = None

    async def ask(
        self,
        method: str,
        path: Path,
        body: object = None,
        *,
        query: Mapping[str, str | int] | None = None,
        at: str | None = None,
        version: str = "v3",
    ) -> Answer:
        """One request, whatever its answer. `at`: the URL of the process that it is sent to."""
        base = at if at is not None else random.choice(self.urls)
        target = f"{base}/_matrix/client/" + "/".join(quote(part, safe="") for part in (version, *path) if part)
        if query:
            target += "?" + urlencode(query)
        headers = {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}
        data = json.dumps(body) if body is not None else ("{}" if method == "POST" else None)
        async with self.http.request(method, URL(target, encoded=True), data=data, headers=headers) as response:
            text = await response.text()
            return Answer(response.status, json.loads(text), response.headers)

    async def call(
        self,
        method: str,
        path: Path,
        body: object = None,
        *,
        status: int = 200,
        errcode: str | None = None,
        query: Mapping[str, str | int] | None = None,
        at: str | None = None,
        version: str = "v3",
    ) -> Any:
        """The body of an answer with that status, and that error code."""
        answer = await self.ask(method, path, body, query=query, at=at, version=version)
        where = f"{method} {'/'.join(path)} {query or ''}"
        assert answer.status == status, f"{where}: {answer.status} {answer.body}, expected {status}"
        assert errcode is None or answer.body["errcode"] == errcode, f"{where}: {answer.body}, expected {errcode}"
        return answer.body

    async def get(self, path: Path, **options: Any) -> Any:
        return await self.call("GET", path, **options)

    async def put(self, path: Path, body: object, **options: Any) -> Any:
        return await self.call("PUT", path, body, **options)

    async def post(self, path: Path, body: object = None, **options: Any) -> Any:
        return await self.call("POST", path, body, **options)

    async def delete(self, path: Path, **options: Any) -> Any:
        return await self.call("DELETE", path, **options)


class User(Caller):
    """A registered user with one session."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], session: Json) -> None:
        """`session`: what registering or logging in answered."""
        super().__init__(http, urls)
        self.user_id: str = session["user_id"]
        self.device_id: str = session["device_id"]
        self.access_token = session["access_token"]
        self.since: str | None = None

    # --- rooms ------------------------------------------------------------------------------------------------------

    async def create_room(self, **options: Any) -> str:
        """A new room; answers its id."""
        created = await self.post(("createRoom",), options)
        return str(created["room_id"])

    async def send(self, room_id: str, body: str, more: Json | None = None, *, at: str | None = None) -> str:
        """A text message, with `more` in its content; answers the event's id."""
        path = ("rooms", room_id, "send", "m.room.message", unique("t"))
        sent = await self.put(path, {"msgtype": "m.text", "body": body, **(more or {})}, at=at)
        return str(sent["event_id"])

    async def send_event(self, room_id: str, kind: str, content: Json) -> str:
        """An event that is no state; answers its id."""
        return str((await self.put(("rooms", room_id, "send", kind, unique("t")), content))["event_id"])

    async def set_state(self, room_id: str, kind: str, content: Json, key: str = "") -> str:
        """A state event; answers its id."""
        return str((await self.put(("rooms", room_id, "state", kind, key), content))["event_id"])

    async def join(self, room_id: str, **options: Any) -> str:
        return str((await self.post(("join", room_id), {}, **options)).get("room_id", ""))

    async def invite(self, room_id: str, user: "User", **options: Any) -> None:
        await self.post(("rooms", room_id, "invite"), {"user_id": user.user_id}, **options)

    async def messages(self, room_id: str, **query: str | int) -> Any:
        return await self.get(("rooms", room_id, "messages"), query=query)

    async def history(self, room_id: str, page: int = 7) -> list[Json]:
        """All events that the user may see, oldest first, read backwards in pages."""
        events: list[Json] = []
        query: dict[str, str | int] = {"dir": "b", "limit": page}
        while True:
            answer = await self.messages(room_id, **query)
            events += answer["chunk"]
            if "end" not in answer:
                return events[::-1]
            query["from"] = answer["end"]

    # --- sync -------------------------------------------------------------------------------------------------------

    async def sync(self, *, at: str | None = None, timeout_ms: int = 0, **query: str | int) -> Json:
        """The next sync of this session; goes on from the last one."""
        query["timeout"] = timeout_ms
        if self.since is not None:
            query.setdefault("since", self.since)
        answer: Json = await self.get(("sync",), query=query, at=at)
        self.since = answer["next_batch"]
        return answer

    async def sync_until(self, seen: Callable[[Json], Any], **query: Any) -> Json:
        """Long polls until an answer has what is looked for; answers that one."""
        for _ in range(SYNC_ROUNDS):
            answer = await self.sync(timeout_ms=LONG_POLL_MS, **query)
            if seen(answer):
                return answer
        raise AssertionError(f"{self.user_id} never sees it; the last answer was {json.dumps(answer)[:2000]}")


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections of one play."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        yield http


async def register(http: aiohttp.ClientSession, urls: Sequence[str], name: str, **fields: Any) -> User:
    """A new account whose name begins with `name`."""
    caller = Caller(http, urls)
    body = {"username": unique(name), "password": PASSWORD, "auth": {"type": "m.login.dummy"}, **fields}
    return User(http, urls, await caller.post(("register",), body))


def timeline(answer: Json, room_id: str) -> list[Json]:
    """The timeline events of a joined room in a sync's answer."""
    return list(answer.get("rooms", {}).get("join", {}).get(room_id, {}).get("timeline", {}).get("events", ()))


def event_ids(events: Sequence[Json]) -> list[str]:
    return [event["event_id"] for event in events]


def bodies(events: Sequence[Json]) -> list[str]:
    """The texts of the messages among events, in their order."""
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message" and event["content"]]
