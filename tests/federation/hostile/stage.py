"""Where an attack is played: the server, its user Alice, the attacker's servers, and what is measured."""

import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.certificates import Authority
from tests.common.federation.far_server import FarRoom
from tests.federation.foreign_server import Json
from tests.federation.hostile.costs import Costs
from tests.federation.hostile.evil import EvilServer
from tests.scenarios.client import PASSWORD, unique
from tests.scenarios.federated import federated
from tests.scenarios.server import Server

US: Final = "a.test"
EVIL: Final = "evil.test"
HONEST: Final = "honest.test"
"""Whose name the attacker takes; it is another server, which answers honestly."""
GONE: Final = "gone.test"
"""Where nobody answers."""
LIARS: Final = tuple(f"liar{number}.test" for number in range(9))
"""More names of the attacker."""
STUBBORN: Final = "stubborn.test"
"""Another, of which nothing good ever comes."""
LIMIT_S: Final = 90.0
_LOOK_S: Final = 0.05


class Alice:
    """A user of the server. Her requests wait for their answers."""

    def __init__(self, server: Server) -> None:
        self._url = server.url
        self._token = ""
        body = {"username": unique("alice"), "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        session = self.call("POST", ("register",), body)
        self.user_id: str = session["user_id"]
        self._token = session["access_token"]

    def ask(self, method: str, path: tuple[str, ...], body: Json | None = None, query: str = "") -> tuple[int, Any]:
        target = f"{self._url}/_matrix/client/v3/" + "/".join(quote(part, safe="") for part in path) + query
        request = urllib.request.Request(
            target, method=method, data=None if body is None else json.dumps(body).encode()
        )
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def media(self, path: tuple[str, ...]) -> tuple[int, Any]:
        """A medium's status, and what is said where there is none."""
        target = f"{self._url}/_matrix/client/v1/media/" + "/".join(path)
        request = urllib.request.Request(target, headers={"Authorization": f"Bearer {self._token}"})
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def call(self, method: str, path: tuple[str, ...], body: Json | None = None, query: str = "") -> Any:
        status, answer = self.ask(method, path, body, query)
        assert status == 200, (path, status, answer)
        return answer

    def create_room(self, **options: Any) -> str:
        return str(self.call("POST", ("createRoom",), {"preset": "public_chat", **options})["room_id"])

    def say(self, room_id: str, body: str) -> str:
        path = ("rooms", room_id, "send", "m.room.message", unique("t"))
        return str(self.call("PUT", path, {"msgtype": "m.text", "body": body})["event_id"])

    def set_state(self, room_id: str, kind: str, content: Json, key: str = "") -> str:
        return str(self.call("PUT", ("rooms", room_id, "state", kind, key), content)["event_id"])

    def state(self, room_id: str, kind: str, key: str = "") -> Json | None:
        """The content of a state event; None if there is none."""
        status, answer = self.ask("GET", ("rooms", room_id, "state", kind, key))
        return dict(answer) if status == 200 else None

    def event(self, room_id: str, event_id: str) -> Json | None:
        """An event as she sees it; None if she does not."""
        status, answer = self.ask("GET", ("rooms", room_id, "event", event_id))
        return dict(answer) if status == 200 else None

    def timeline(self, room_id: str) -> list[Json]:
        """The newest events of a room, as a first sync has them: nobody else is asked for more."""
        wanted = {"room": {"rooms": [room_id], "timeline": {"limit": 100}}}
        synced = self.call("GET", ("sync",), query="?timeout=0&filter=" + quote(json.dumps(wanted)))
        room = synced.get("rooms", {}).get("join", {}).get(room_id, {})
        return list(room.get("timeline", {}).get("events", ()))

    def sees(self, room_id: str, event_id: str) -> bool:
        """Whether an event is among the newest."""
        return any(event["event_id"] == event_id for event in self.timeline(room_id))


@dataclass
class Stage:
    """`count`: how many requests an attack makes."""

    server: Server
    alice: Alice
    evil: EvilServer
    honest: EvilServer
    authority: Authority
    costs: Costs
    count: int

    @contextmanager
    def attack(self, requests: int | None = None) -> Iterator[None]:
        """What happens within is counted, and what the server is still busy with afterwards."""
        with self.costs.counted(requests or self.count):
            yield

    def joined(self, version: str = "11", **options: Any) -> FarRoom:
        """A room of the attacker that Alice has joined."""
        room = self.evil.paper.room(version, **options)
        self.join(room)
        return room

    def join(self, room: FarRoom) -> None:
        self.alice.call("POST", ("join", room.room_id), {}, f"?via={self.evil.name}&server_name={self.evil.name}")

    def arrives(self, room: FarRoom, body: str = "an honest one", sender: str | None = None) -> None:
        """The room still works: what is honest comes. All that came before has been decided then."""
        event = room.say(body, sender)
        assert self.evil.results(event) == {event.event_id: {}}
        self.until(lambda: self.alice.sees(room.room_id, event.event_id), "an honest event arrives")

    def until(self, is_so: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not is_so():
            assert time.monotonic() < deadline, f"not within {LIMIT_S:.0f} s: {what}\n{self.server.output(40)}"
            time.sleep(_LOOK_S)

    def unseen(self, room: FarRoom, *event_ids: str) -> None:
        """None of the events is shown to Alice."""
        shown = {event["event_id"] for event in self.alice.timeline(room.room_id)}
        assert shown.isdisjoint(event_ids), shown.intersection(event_ids)


@contextmanager
def stage(database_url: str, *, split: bool, count: int, is_measured: bool) -> Iterator[Stage]:
    """A running one. An empty `database_url`: a PostgreSQL of the server's own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-hostile-")))
        folder.chmod(0o755)
        authority = Authority(folder)
        evil, honest = EvilServer(EVIL, authority, US), EvilServer(HONEST, authority, US)
        evil.also_named = (*LIARS, STUBBORN, "127.0.0.1", "localhost")
        for one in (evil, honest):
            stack.enter_context(one)
        server = Server(name=US, split=split, database_url=database_url)
        server.reserve()
        stack.callback(server.release)
        places = dict.fromkeys((EVIL, STUBBORN, *LIARS), evil.port) | {HONEST: honest.port, GONE: 9}
        settings = federated(server, places, authority, US, egress='allow = ["127.0.0.0/8"]\n')
        server.settings = f"{settings}notaries = []\n"
        stack.enter_context(server)
        evil.target_url = honest.target_url = server.federation_url
        costs = Costs(server.process_id if is_measured else None)
        yield Stage(server, Alice(server), evil, honest, authority, costs, count)
