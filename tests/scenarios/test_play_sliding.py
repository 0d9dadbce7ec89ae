"""Sliding sync at real processes: requests of one connection go to any of them, also to one that was just started."""

import asyncio
import signal
from typing import Any

from tests.scenarios.client import Json, User, http_session, register
from tests.scenarios.server import Server

SLIDING = ("org.matrix.simplified_msc3575", "sync")
STATE = [["m.room.create", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]]
RESTART_LIMIT_S = 30.0


def window(end: int, **more: Any) -> Json:
    lists = {"all_rooms": {"ranges": [[0, end]], "timeline_limit": 3, "required_state": STATE}}
    extensions = {name: {"enabled": True} for name in ("to_device", "e2ee", "account_data", "receipts", "typing")}
    return {"lists": lists, "extensions": extensions, **more}


async def slide(user: User, body: Json, pos: str | None = None, timeout_ms: int = 0) -> Json:
    query: dict[str, str | int] = {"timeout": timeout_ms} if pos is None else {"timeout": timeout_ms, "pos": pos}
    answer: Json = await user.post(SLIDING, body, query=query, version="unstable")
    return answer


def test_the_list_grows_and_news_come_by_any_process(server: Server) -> None:
    async def play() -> None:
        async with http_session() as http:
            alice, bob = [await register(http, server.worker_urls(), name) for name in ("alice", "bob")]
            rooms = [await alice.create_room(name=f"Room {number}", invite=[bob.user_id]) for number in range(3)]
            for room_id in rooms:
                await bob.join(room_id)
            first = await slide(alice, window(0))
            assert first["lists"]["all_rooms"]["count"] == 3
            assert list(first["rooms"]) == [rooms[-1]]
            assert first["rooms"][rooms[-1]]["name"] == "Room 2"
            second = await slide(alice, window(9), first["pos"])
            assert set(second["rooms"]) == set(rooms[:2])
            waiting = asyncio.ensure_future(slide(alice, window(9), second["pos"], 20_000))
            await asyncio.sleep(0.2)
            event_id = await bob.send(rooms[0], "wake up")
            news = await waiting
            (event,) = news["rooms"][rooms[0]]["timeline"]
            assert event["event_id"] == event_id
            page = await alice.messages(rooms[0], dir="b", limit=1, **{"from": news["pos"]})
            assert page["chunk"][0]["event_id"] == event_id
            merged = {"lists": {"all": {"timeline_limit": 1, "required_state": {"include": [{}]}}}}
            v4 = await bob.post(("sync",), merged, version="v4")
            assert {room["membership"] for room in v4["rooms"].values()} == {"join"}
            await bob.post(("sync",), {**merged, "pos": "c1_0_0123456789abcdef"}, version="v4",
                           status=400, errcode="M_UNKNOWN_POS")  # fmt: skip

    asyncio.run(play())


def test_a_connection_goes_on_at_workers_that_were_restarted(split: Server) -> None:
    async def play() -> None:
        async with http_session() as http:
            alice = await register(http, [split.url], "alice")
            room_id = await alice.create_room()
            first = await slide(alice, window(9))
            for worker in split.workers("sync"):
                old = split.signal(worker.name, signal.SIGKILL)
                split.wait_for_restart(worker.name, old, RESTART_LIMIT_S)
            split.wait_until(split.is_whole, "all run again", RESTART_LIMIT_S)
            event_id = await alice.send(room_id, "after")
            news = await slide(alice, window(9), first["pos"])
            assert [event["event_id"] for event in news["rooms"][room_id]["timeline"]] == [event_id]
            assert "initial" not in news["rooms"][room_id]

    asyncio.run(play())
