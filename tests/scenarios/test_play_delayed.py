"""Delayed events at real processes: both forms of scheduling, what is told of them, and that they come."""

import asyncio
import signal

from tests.scenarios.client import http_session, register, unique
from tests.scenarios.server import Server

MSC4140 = "org.matrix.msc4140"
RESTART_LIMIT_S = 30.0


def test_events_come_later_and_are_managed_until_then(server: Server) -> None:
    async def play() -> None:
        async with http_session() as http:
            alice = await register(http, server.worker_urls(), "alice")
            room_id = await alice.create_room()
            await alice.sync()
            features = (await alice.get(("versions",), version=""))["unstable_features"]
            assert features["org.matrix.msc4140"] is True
            capabilities = (await alice.get(("capabilities",)))["capabilities"]
            assert capabilities["m.delayed_events"]["max_scheduled"] > 0
            body = {"delay_ms": 300, "content": {"msgtype": "m.text", "body": "later"}}
            transaction = unique("t")
            path = ("rooms", room_id, "delayed_event", "m.room.message", transaction)
            delay_id = (await alice.put(path, body))["delay_id"]
            assert (await alice.put(path, body))["delay_id"] == delay_id
            answer = await alice.sync_until(lambda answer: room_id in answer.get("rooms", {}).get("join", {}))
            (event,) = answer["rooms"]["join"][room_id]["timeline"]["events"]
            assert event["unsigned"]["delay_id"] == delay_id
            told = await alice.get(("delayed_events", delay_id), version="v1")
            assert told["event_id"] == told["finalised"]["event_id"] == event["event_id"]
            assert told["finalised_ts"] >= told["scheduled_at"] + told["delay_ms"]
            no_event = {"delay_ms": 300, "content": {"body": 1.5}}
            await alice.put((*path[:-1], unique("t")), no_event, status=400, errcode="M_BAD_JSON")
            # The older form.
            state = ("rooms", room_id, "state", "m.room.topic", "")
            older = await alice.put(state, {"topic": "t"}, query={"org.matrix.msc4140.delay": 60_000})
            listed = (await alice.get((MSC4140, "delayed_events"), version="unstable"))["delayed_events"]
            assert [(one["delay_id"], one["delay"]) for one in listed] == [(older["delay_id"], 60_000)]
            await alice.post((MSC4140, "delayed_events", older["delay_id"]), {"action": "restart"}, version="unstable")
            await alice.post(("delayed_events", older["delay_id"], "send"), {}, version="v1")
            assert (await alice.get(("rooms", room_id, "state", "m.room.topic", "")))["topic"] == "t"

    asyncio.run(play())


def test_an_event_comes_once_though_the_leader_is_killed_before_its_time(split: Server) -> None:
    async def play() -> None:
        async with http_session() as http:
            alice = await register(http, split.worker_urls(), "alice")
            room_id = await alice.create_room()
            body = {"delay_ms": 3_000, "content": {"msgtype": "m.text", "body": "later"}}
            path = ("rooms", room_id, "delayed_event", "m.room.message", unique("t"))
            delay_id = (await alice.put(path, body))["delay_id"]
            leader = split.leader()
            assert leader is not None
            old = split.signal(leader.name, signal.SIGKILL)
            await alice.sync()
            await alice.sync_until(lambda answer: room_id in answer.get("rooms", {}).get("join", {}))
            split.wait_for_restart(leader.name, old, RESTART_LIMIT_S)
            told = await alice.get(("delayed_events", delay_id), version="v1")
            history = await alice.history(room_id)
            sent = [event["event_id"] for event in history if event["content"].get("body") == "later"]
            assert sent == [told["finalised"]["event_id"]]

    asyncio.run(play())
