"""What /sync answers to those who ask for less or more: filters, lazy loading, limits, full state, archived rooms."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

from tests.scenarios.client import Json, User, bodies, event_ids, http_session, register, timeline
from tests.scenarios.server import Server

Play = Callable[[User, User, str], Awaitable[None]]


def run(server: Server, play: Play) -> None:
    """Play with Alice and Bob, who share a room."""

    async def prepared() -> None:
        async with http_session() as http:
            urls = server.worker_urls()
            alice, bob = [await register(http, urls, name) for name in ("alice", "bob")]
            room_id = await alice.create_room(invite=[bob.user_id], name="Play")
            await bob.join(room_id)
            await play(alice, bob, room_id)

    asyncio.run(prepared())


def state_of(answer: Json, room_id: str, part: str = "state") -> dict[tuple[str, str], Json]:
    events = answer["rooms"]["join"][room_id].get(part, {}).get("events", [])
    return {(event["type"], event["state_key"]): event for event in events}


async def say_all(speaker: User, room_id: str, texts: Sequence[str]) -> list[str]:
    return [await speaker.send(room_id, text) for text in texts]


def test_gap_of_a_limited_timeline_is_filled_by_messages(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        await bob.sync()
        since = bob.since
        assert since is not None
        sent = await say_all(alice, room_id, [f"text {number}" for number in range(20)])
        answer = await bob.sync(filter=json.dumps({"room": {"timeline": {"limit": 5}}}))
        room = answer["rooms"]["join"][room_id]["timeline"]
        assert room["limited"] is True
        assert event_ids(room["events"]) == sent[-5:]
        gap: list[str] = []
        start: str | None = room["prev_batch"]
        while start is not None:
            page = await bob.messages(room_id, dir="b", limit=6, to=since, **{"from": start})
            gap += event_ids(page["chunk"])
            start = page.get("end")
        assert gap[::-1] == sent[:-5]

    run(server, play)


def test_all_history_is_there_once_and_in_order_in_both_directions(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        texts = [f"text {number}" for number in range(40)]
        for number, text in enumerate(texts):
            await (alice, bob)[number % 2].send(room_id, text)
        backwards = await bob.history(room_id)
        assert bodies(backwards) == texts
        assert backwards[0]["type"] == "m.room.create"
        forwards: list[Json] = []
        query: dict[str, str | int] = {"dir": "f", "limit": 9}
        while True:
            page = await alice.messages(room_id, **query)
            forwards += page["chunk"]
            if "end" not in page:
                break
            query["from"] = page["end"]
        assert event_ids(forwards) == event_ids(backwards)

    run(server, play)


def test_stored_filter_hides_senders_and_types(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        wanted = {
            "room": {
                "timeline": {"types": ["m.room.message"], "not_senders": [bob.user_id]},
                "state": {"types": ["m.room.name"]},
                "ephemeral": {"types": []},
            },
            "presence": {"types": []},
            "event_fields": ["content.body", "state_key"],
        }
        made = await bob.post(("user", bob.user_id, "filter"), wanted)
        filter_id = made["filter_id"]
        assert await bob.get(("user", bob.user_id, "filter", filter_id)) == wanted
        await bob.send(room_id, "own words")
        await alice.send_event(room_id, "org.example.other", {"a": 1})
        await alice.send(room_id, "heard")
        answer = await bob.sync(filter=filter_id)
        assert bodies(timeline(answer, room_id)) == ["heard"]
        assert all("unsigned" not in event and "origin_server_ts" in event for event in timeline(answer, room_id))
        assert all("msgtype" not in event["content"] for event in timeline(answer, room_id))
        assert set(state_of(answer, room_id)) == {("m.room.name", "")}
        assert answer.get("presence", {}).get("events", []) == []

    run(server, play)


def test_lazy_loading_sends_members_when_they_speak(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        carol, dave = [await register(alice.http, alice.urls, name) for name in ("carol", "dave")]
        for user in (carol, dave):
            await alice.invite(room_id, user)
            await user.join(room_id)
        await carol.send(room_id, "hello")
        lazy = json.dumps({"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}})
        first = await bob.sync(filter=lazy)
        members = {key for kind, key in state_of(first, room_id) if kind == "m.room.member"}
        assert members == {bob.user_id, carol.user_id}
        summary = first["rooms"]["join"][room_id]["summary"]
        assert summary["m.joined_member_count"] == 4
        await dave.send(room_id, "me too")
        second = await bob.sync(filter=lazy)
        assert dave.user_id in {key for kind, key in state_of(second, room_id) if kind == "m.room.member"}
        all_members = await bob.get(("rooms", room_id, "members"), query={"membership": "join"})
        assert len(all_members["chunk"]) == 4
        page = await bob.messages(room_id, dir="b", limit=1, filter=json.dumps({"lazy_load_members": True}))
        assert [event["state_key"] for event in page["state"]] == [dave.user_id]

    run(server, play)


def test_full_state_is_all_state_and_a_token_brings_only_what_changed(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        first = await bob.sync()
        since = first["next_batch"]
        await alice.set_state(room_id, "m.room.topic", {"topic": "changed"})
        changed = await bob.sync(since=since)
        assert [event["type"] for event in timeline(changed, room_id)] == ["m.room.topic"]
        assert state_of(changed, room_id) == {}
        whole = await bob.sync(since=changed["next_batch"], full_state="true")
        current = {(event["type"], event["state_key"]): event for event in await bob.get(("rooms", room_id, "state"))}
        assert set(state_of(whole, room_id)) == set(current)
        assert timeline(whole, room_id) == []

    run(server, play)


def test_state_after_is_the_state_at_the_end_of_the_timeline(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        since = (await bob.sync(use_state_after="true"))["next_batch"]
        await alice.set_state(room_id, "m.room.topic", {"topic": "one"})
        await alice.set_state(room_id, "m.room.topic", {"topic": "two"})
        answer = await bob.sync(since=since, use_state_after="true")
        assert "state" not in answer["rooms"]["join"][room_id]
        after = state_of(answer, room_id, "state_after")
        assert {key: event["content"] for key, event in after.items()} == {("m.room.topic", ""): {"topic": "two"}}

    run(server, play)


def test_syncs_in_steps_and_in_one_show_the_same(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        start = (await bob.sync())["next_batch"]
        stepwise = []
        for number in range(12):
            await alice.send(room_id, f"text {number}")
            stepwise += timeline(await bob.sync(), room_id)
        at_once = timeline(await bob.sync(since=start, filter='{"room":{"timeline":{"limit":100}}}'), room_id)
        assert event_ids(stepwise) == event_ids(at_once)
        assert bodies(at_once) == [f"text {number}" for number in range(12)]

    run(server, play)


def test_waiting_sync_wakes_for_a_message_and_a_repeated_one_answers_the_same(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        silent: Json = {"filter": '{"presence":{"types":[]}}'}  # Bob's own coming online is no news here
        since = (await bob.sync(**silent))["next_batch"]
        waiting = asyncio.create_task(bob.sync(timeout_ms=30_000, **silent))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await alice.send(room_id, "wake up")
        answer = await asyncio.wait_for(waiting, 10)
        assert bodies(timeline(answer, room_id)) == ["wake up"]
        repeated = await bob.sync(since=since)
        assert bodies(timeline(repeated, room_id)) == ["wake up"]

    run(server, play)


def test_left_room_is_shown_once_and_again_with_include_leave(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        await bob.sync()
        await alice.send(room_id, "last words that Bob sees")
        await bob.post(("rooms", room_id, "leave"))
        await alice.send(room_id, "what Bob never sees")
        answer = await bob.sync()
        left = answer["rooms"]["leave"][room_id]["timeline"]["events"]
        assert bodies(left) == ["last words that Bob sees"]
        assert left[-1]["content"]["membership"] == "leave"
        later = await bob.sync()
        assert room_id not in later.get("rooms", {}).get("leave", {})
        bob.since = None
        assert room_id not in (await bob.sync()).get("rooms", {}).get("leave", {})
        bob.since = None
        archived = await bob.sync(filter='{"room":{"include_leave":true}}')
        assert room_id in archived["rooms"]["leave"]

    run(server, play)


def test_unread_counts_rise_with_messages_and_fall_with_receipts(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        await bob.sync()
        last = (await say_all(alice, room_id, ["one", "two", "three"]))[-1]
        counts = (await bob.sync())["rooms"]["join"][room_id]["unread_notifications"]
        assert (counts["notification_count"], counts["highlight_count"]) == (3, 0)
        mention = {"m.mentions": {"user_ids": [bob.user_id]}}
        root = await alice.send(room_id, "Bob!", mention)
        counts = (await bob.sync())["rooms"]["join"][room_id]["unread_notifications"]
        assert (counts["notification_count"], counts["highlight_count"]) == (4, 1)
        thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        await alice.send(room_id, "in the thread", thread)
        filter_ = json.dumps({"room": {"timeline": {"unread_thread_notifications": True}}})
        room = (await bob.sync(filter=filter_))["rooms"]["join"][room_id]
        assert room["unread_notifications"]["notification_count"] == 4
        assert room["unread_thread_notifications"][root]["notification_count"] == 1
        await bob.post(("rooms", room_id, "receipt", "m.read", last), {"thread_id": "main"})
        room = (await bob.sync(filter=filter_))["rooms"]["join"][room_id]
        assert room["unread_notifications"]["notification_count"] == 1
        assert room["unread_thread_notifications"][root]["notification_count"] == 1
        seen = await alice.sync()
        assert last in json.dumps(seen["rooms"]["join"][room_id]["ephemeral"])

    run(server, play)


def test_private_receipt_is_for_its_owner_alone(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        event_id = await alice.send(room_id, "seen?")
        await bob.post(("rooms", room_id, "receipt", "m.read.private", event_id), {})

        def receipts(answer: Json) -> str:
            return json.dumps(answer.get("rooms", {}).get("join", {}).get(room_id, {}).get("ephemeral", {}))

        assert "m.read.private" in receipts(await bob.sync())
        assert "m.read.private" not in receipts(await alice.sync())

    run(server, play)


def test_ignored_sender_is_not_heard(server: Server) -> None:
    async def play(alice: User, bob: User, room_id: str) -> None:
        await bob.sync()
        ignored: Json = {"ignored_users": {alice.user_id: {}}}
        await bob.put(("user", bob.user_id, "account_data", "m.ignored_user_list"), ignored)
        await alice.send(room_id, "to deaf ears")
        other = await alice.create_room(invite=[bob.user_id])
        answer = await bob.sync()
        assert "to deaf ears" not in bodies(timeline(answer, room_id))
        assert other not in answer.get("rooms", {}).get("invite", {})

    run(server, play)
