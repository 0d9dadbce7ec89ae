"""sync(0→n) = sync(0→k) + sync(k→n) at a real split, and the same for sliding sync: random histories, clients that ask
at random moments, each time another worker, while workers are killed. `tests/workers/sync` plays many more of them, in
one process.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.scenarios.client import REQUEST_LIMIT_S, Json, User, register, unique
from tests.scenarios.harm import LIMIT_S, kill
from tests.scenarios.server import Server
from tests.workers.sync import client as syncing
from tests.workers.sync.histories import ROOMS, USERS, Act, filter_of, histories
from tests.workers.sync.sliding import client as sliding

KILLS: Final = 2
VISIBILITIES: Final = ("joined", "invited", "shared", "world_readable")


@dataclass
class Person:
    """A user with two clients, which hold what they were told so far."""

    user: User
    synced: syncing.Client = field(default_factory=syncing.Client)
    slid: sliding.SlidingClient = field(default_factory=sliding.SlidingClient)

    async def sync(self, number: int, client: syncing.Client) -> None:
        query = {"filter": orjson.dumps(filter_of(number)).decode()}
        if client.token is not None:
            query["since"] = client.token
        client.apply(without_unsigned(await self.user.get(("sync",), query=query)))

    async def slide(self, client: sliding.SlidingClient, connection: str) -> None:
        body = {**sliding.everything(), "conn_id": connection}
        if client.pos is not None:
            body["pos"] = client.pos
        client.apply(without_unsigned(await self.user.post(("sync",), body, version="v4")))


def without_unsigned(told: Any) -> Any:
    """The same without what changes by itself, as ages do."""
    if isinstance(told, dict):
        return {key: without_unsigned(value) for key, value in told.items() if key != "unsigned"}
    return [without_unsigned(one) for one in told] if isinstance(told, list) else told


class History:
    """Plays acts by the API. Those that the rules refuse change nothing."""

    def __init__(self, people: dict[str, User], rooms: list[str]) -> None:
        self._people = people
        self._rooms = rooms
        self._sent: dict[str, list[str]] = {room_id: [] for room_id in rooms}

    async def play(self, act: Act) -> None:
        room_id = self._rooms[act.room]
        sent = self._sent[room_id]
        if not sent:
            sent.append(await self._people[USERS[0]].send(room_id, "first"))
        method, path, body = self._request(act, room_id, sent[-1 - act.choice % len(sent)])
        answer = await self._people[act.user].ask(method, path, body)
        assert answer.status < 500, f"{method} {path}: {answer.status} {answer.body}"
        if act.kind in ("send", "mention", "thread", "edit") and answer.status == 200:
            sent.append(answer.body["event_id"])

    def _request(self, act: Act, room_id: str, chosen: str) -> tuple[str, tuple[str, ...], Json]:
        user, target = self._people[act.user].user_id, self._people[act.target].user_id
        first = self._sent[room_id][0]
        text: Json = {"msgtype": "m.text", "body": str(act.choice)}
        match act.kind:
            case "send":
                return self._send(room_id, text)
            case "mention":
                return self._send(room_id, {**text, "m.mentions": {"user_ids": [target]}})
            case "thread":
                return self._send(room_id, {**text, "m.relates_to": {"rel_type": "m.thread", "event_id": first}})
            case "edit":
                relation = {"rel_type": "m.replace", "event_id": first}
                return self._send(room_id, {**text, "m.new_content": text, "m.relates_to": relation})
            case "react":
                relation = {"rel_type": "m.annotation", "event_id": chosen, "key": str(act.choice)}
                return self._send(room_id, {"m.relates_to": relation}, "m.reaction")
            case "redact":
                return "PUT", ("rooms", room_id, "redact", chosen, unique("t")), {}
            case "read":
                kind = ("m.read", "m.read.private")[act.choice % 2]
                thread: Json = ({}, {"thread_id": "main"}, {"thread_id": first})[act.choice % 3]
                return "POST", ("rooms", room_id, "receipt", kind, chosen), thread
            case "join" | "leave" | "forget":
                return "POST", ("rooms", room_id, act.kind), {}
            case "knock":
                return "POST", ("knock", room_id), {}
            case "invite" | "kick":
                kind = "ban" if act.kind == "kick" and act.choice % 2 else act.kind
                return "POST", ("rooms", room_id, kind), {"user_id": target}
            case "tag":
                return "PUT", ("user", user, "rooms", room_id, "tags", "u.x"), {"order": act.choice / 10}
            case "data":
                return "PUT", ("user", user, "account_data", "org.example"), {"value": act.choice}
            case _:
                return self._set(act, room_id, user)

    def _set(self, act: Act, room_id: str, user: str) -> tuple[str, tuple[str, ...], Json]:
        kind, key, content = {
            "topic": ("m.room.topic", "", {"topic": str(act.choice)}),
            "name": ("m.room.name", "", {"name": str(act.choice)}),
            "visibility": ("m.room.history_visibility", "", {"history_visibility": VISIBILITIES[act.choice % 4]}),
            "profile": ("m.room.member", user, {"membership": "join", "displayname": str(act.choice)}),
        }[act.kind]
        return "PUT", ("rooms", room_id, "state", kind, key), content

    def _send(self, room_id: str, content: Json, kind: str = "m.room.message") -> tuple[str, tuple[str, ...], Json]:
        return "PUT", ("rooms", room_id, "send", kind, unique("t")), content


Moment = tuple[int, str, bool]
"""After which act, who asks, and whether by sliding sync."""
moments = st.lists(st.tuples(st.integers(0, 24), st.sampled_from(USERS), st.booleans()), min_size=4, max_size=14)


async def played(split: Server, acts: list[Act], asked: list[Moment], number: int) -> None:
    """One history, and what those who asked in between hold at its end beside those who ask only then."""
    options: Json = {"timeout": aiohttp.ClientTimeout(total=REQUEST_LIMIT_S)}
    # Connections to a worker that was killed are of no use: each request has its own.
    async with aiohttp.ClientSession(**options, connector=aiohttp.TCPConnector(force_close=True)) as http:
        people = {name: Person(await register(http, split.worker_urls(), name[1:4])) for name in USERS}
        rooms = [await people[USERS[0]].user.create_room(preset="public_chat") for _ in range(ROOMS)]
        history = History({name: one.user for name, one in people.items()}, rooms)
        deaths = [len(acts) * (death + 1) // (KILLS + 1) for death in range(KILLS)]
        for place, act in enumerate(acts):
            await history.play(act)
            if place in deaths:
                worker = random.choice([*split.workers("sync"), *split.workers("client")])
                await asyncio.to_thread(kill, split, worker.name)
            for after, name, slides in asked:
                if after % len(acts) == place:
                    await (people[name].slide(people[name].slid, "one") if slides
                           else people[name].sync(number, people[name].synced))  # fmt: skip
        for person in people.values():
            whole, anew = syncing.Client(), sliding.SlidingClient()
            for client in (person.synced, whole):
                await person.sync(number, client)
            assert syncing.differences(whole, person.synced) == []
            for connection, slider in (("one", person.slid), ("other", anew)):
                await person.slide(slider, connection)
            assert sliding.differences(anew, person.slid) == []


# Nothing is shrunk: what a real split does is not the same twice.
@settings(max_examples=2, phases=[Phase.generate])
@given(acts=histories, asked=moments, number=st.integers(0, 1))
def test_in_parts_as_at_once_by_workers_that_die(
    split: Server, acts: list[Act], asked: list[Moment], number: int
) -> None:
    split.wait_until(split.is_whole, "all run", LIMIT_S)
    asyncio.run(played(split, acts, asked, number))
