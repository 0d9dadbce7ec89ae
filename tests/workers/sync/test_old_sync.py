"""What /sync replaced: everything at once, and events as they come, also of rooms that one only looks at."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from hs_common.http.request import Request, Requester
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser, SetUserState
from hs_workers.sync.old_sync import OldSync
from hs_workers.sync.peeking import MAXIMUM_OF_A_USER
from tests.reactor import run, until
from tests.workers.sync.live import Live
from tests.workers.sync.world import ALICE, BOB, CAROL, World, world

Json = dict[str, Any]


class Old:
    """The endpoints, called as their router does."""

    def __init__(self, live: Live) -> None:
        self.live = live
        (self._endpoint,) = [one for one in live.parts.endpoints if isinstance(one, OldSync)]

    def start(self, name: str, user_id: str, query: str = "") -> "Deferred[Json]":
        requester = Requester(user_id, "DEVICE", b"token of " + user_id.encode())
        request = Request(query_string=query.encode(), requester=requester)
        return Deferred.fromCoroutine(self._ask(name, request))

    async def ask(self, name: str, user_id: str, query: str = "") -> Json:
        return await self.start(name, user_id, query)

    async def _ask(self, name: str, request: Request) -> Json:
        reply = await getattr(self._endpoint, name)(request)
        told: Json = orjson.loads(orjson.dumps(reply))
        return told


async def made(w: World) -> tuple[Live, Old]:
    for user_id in (ALICE, BOB, CAROL):
        await w.m.call(RegisterUser(user_id=user_id, password_hash=None))
    live = Live(w)
    return live, Old(live)


def texts(events: list[Json]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


def test_initial_sync_tells_where_all_rooms_stand(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            live, old = await made(w)
            room = await w.m.create_room(ALICE)
            invited = await w.m.create_room(BOB)
            await w.m.member(invited, BOB, "invite", ALICE)
            left = await w.m.create_room(BOB, is_public=True)
            await w.m.member(left, ALICE, "join")
            await w.m.member(left, ALICE, "leave")
            for number in range(3):
                await w.m.send(room, ALICE, str(number))
            await w.set_data(ALICE, "org.global", {"a": 1})
            await w.set_data(ALICE, "org.room", {"b": 2}, room)
            live.start()
            told = await old.ask("initial_sync", ALICE, "limit=2")
            assert {"type": "org.global", "content": {"a": 1}} in told["account_data"]
            by_id = {one["room_id"]: one for one in told["rooms"]}
            assert set(by_id) == {room, invited}
            assert by_id[room]["membership"] == "join"
            assert texts(by_id[room]["messages"]["chunk"]) == ["1", "2"]
            assert by_id[room]["messages"]["end"] == told["end"]
            assert {event["type"] for event in by_id[room]["state"]} >= {"m.room.create", "m.room.member"}
            assert all(event["room_id"] == room for event in by_id[room]["state"])
            assert by_id[room]["account_data"] == [{"type": "org.room", "content": {"b": 2}}]
            invite = by_id[invited]["invite"]
            assert (invite["sender"], invite["state_key"], invite["room_id"]) == (BOB, ALICE, invited)
            archived = await old.ask("initial_sync", ALICE, "archived=true")
            there = {one["room_id"]: one for one in archived["rooms"]}
            assert (there[left]["membership"], there[left]["visibility"]) == ("leave", "public")
            await live.background.drained()

    run(play())


def test_events_come_as_they_happen(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            live, old = await made(w)
            room = await w.m.create_room(ALICE)
            live.start()
            first = await old.ask("events", ALICE, "timeout=0")
            assert first["chunk"] == []
            waiting = old.start("events", ALICE, f"from={first['end']}&timeout=30000")
            await until(lambda: len(live.parts.waiting) == 1)
            await w.m.send(room, ALICE, "hello")
            live.follow()
            told = await waiting
            assert (texts(told["chunk"]), told["chunk"][0]["room_id"]) == (["hello"], room)
            assert told["start"] == first["end"]
            await live.background.drained()

    run(play())


def test_peeking_hears_what_anybody_may_read(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            live, old = await made(w)
            room = await w.m.create_room(ALICE)
            live.start()
            with pytest.raises(MatrixError) as refused:
                await old.ask("events", BOB, f"room_id={room}&timeout=0")
            assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
            readable = {"history_visibility": "world_readable"}
            await w.m.event(room, ALICE, "m.room.history_visibility", readable, state_key="")
            live.follow()
            token = (await old.ask("events", BOB, f"room_id={room}&timeout=0"))["end"]
            waiting = old.start("events", BOB, f"room_id={room}&from={token}&timeout=30000")
            await until(lambda: live.parts.peeking.count == 1)
            await w.m.send(room, ALICE, "hello")
            live.follow()
            told = await waiting
            assert texts(told["chunk"]) == ["hello"]
            again = await old.ask("events", BOB, f"room_id={room}&from={told['end']}&timeout=0")
            assert again["chunk"] == []
            late = old.start("events", BOB, f"room_id={room}&from={told['end']}&timeout=5000")
            await until(lambda: live.parts.peeking.count == 1)
            live.clock.advance(6)
            assert (await late)["chunk"] == []
            revoked = old.start("events", BOB, f"room_id={room}&timeout=30000")
            await until(lambda: live.parts.peeking.count == 1)
            await w.m.call(SetUserState(user_id=BOB, locked=True))
            live.follow()
            with pytest.raises(MatrixError) as ended_by:
                await revoked
            assert ended_by.value.status == 401
            many = [old.start("events", BOB, f"room_id={room}&timeout=1000") for _ in range(MAXIMUM_OF_A_USER)]
            with pytest.raises(MatrixError) as too_many:
                await old.ask("events", BOB, f"room_id={room}&timeout=1000")
            assert too_many.value.errcode == "M_LIMIT_EXCEEDED"
            await until(lambda: len(live.clock.getDelayedCalls()) >= MAXIMUM_OF_A_USER)
            live.clock.advance(2)
            assert [(await one)["chunk"] for one in many] == [[]] * MAXIMUM_OF_A_USER
            ended = old.start("events", CAROL, f"room_id={room}&timeout=30000")
            await until(lambda: live.parts.peeking.count == 1)
            live.parts.end()
            assert (await ended)["chunk"] == []

    run(play())
