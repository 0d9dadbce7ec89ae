"""Finding and leaving rooms in plain HTTP: spaces, summaries, search, people, previews, upgrades, reports, deletion."""

import asyncio
import json

from tests.scenarios.client import Json, User, unique
from tests.scenarios.server import Server
from tests.scenarios.test_play_rooms import run

READABLE = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}


async def search(user: User, term: str, **criteria: object) -> Json:
    body = {"search_categories": {"room_events": {"search_term": term, "order_by": "recent", **criteria}}}
    answer: Json = (await user.post(("search",), body))["search_categories"]["room_events"]
    return answer


def test_space_is_walked_and_its_rooms_are_summarised(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        space = await alice.create_room(
            name="Space", preset="public_chat", creation_content={"type": "m.space"}, visibility="public"
        )
        members_only = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
        rules = {"type": "m.room.join_rules", "content": members_only}
        room = await alice.create_room(name="Inside", initial_state=[rules])
        secret = await alice.create_room(name="Secret")
        for child, suggested in ((room, True), (secret, False)):
            await alice.set_state(space, "m.space.child", {"via": ["localhost"], "suggested": suggested}, child)
        path = ("rooms", space, "hierarchy")

        async def names(user: User, **query: str) -> list[str]:
            return [one["name"] for one in (await user.get(path, version="v1", query=query))["rooms"]]

        assert await names(alice) == ["Space", "Inside", "Secret"]
        assert await names(bob) == ["Space"]
        await bob.join(space)
        assert await names(bob) == ["Space", "Inside"]
        summary = await bob.get(("room_summary", room), version="v1")
        assert (summary["name"], summary["join_rule"], summary["membership"]) == ("Inside", "restricted", "leave")
        await bob.get(("room_summary", secret), version="v1", status=404, errcode="M_NOT_FOUND")

    run(server, play)


def test_words_are_found_at_once_in_a_room_and_the_one_that_it_replaced(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        word = unique("zebra").replace("-", "")
        room = await alice.create_room(preset="public_chat", name="Old")
        await bob.join(room)
        await bob.put(("user", bob.user_id, "rooms", room, "tags", "u.work"), {"order": 0.5})
        said = await alice.send(room, f"a {word} in the room")
        found = await search(bob, word, event_context={"before_limit": 1, "after_limit": 1})
        assert [one["result"]["event_id"] for one in found["results"]] == [said]
        assert found["highlights"] == [word]
        new = (await alice.post(("rooms", room, "upgrade"), {"new_version": "12"}))["replacement_room"]
        ended = await bob.sync_until(lambda answer: "m.room.tombstone" in json.dumps(answer))
        assert new in json.dumps(ended)
        await bob.join(new)
        assert (await bob.get(("user", bob.user_id, "rooms", new, "tags")))["tags"] == {"u.work": {"order": 0.5}}
        again = await search(bob, word, filter={"rooms": [new]})
        assert [one["result"]["event_id"] for one in again["results"]] == [said]
        await alice.put(("rooms", room, "redact", said, unique("t")), {})
        assert (await search(bob, word))["count"] == 0

    run(server, play)


def test_people_are_found_who_share_a_room(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        name = unique("Quentin")
        await bob.put(("profile", bob.user_id, "displayname"), {"displayname": name})

        async def found() -> list[str]:
            answer = await alice.post(("user_directory", "search"), {"search_term": name.lower()})
            return [one["user_id"] for one in answer["results"]]

        assert await found() == []
        room = await alice.create_room()
        await alice.invite(room, bob)
        await bob.join(room)
        assert await found() == [bob.user_id]
        mutual = await alice.get(("mutual_rooms",), version="v1", query={"user_id": bob.user_id})
        assert mutual == {"joined": [room], "count": 1}

    run(server, play)


def test_preview_of_a_room_hears_what_is_said_in_it(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room = await alice.create_room(preset="public_chat", initial_state=[READABLE])
        await alice.send(room, "before")
        seen = await bob.get(("rooms", room, "initialSync"))
        assert seen["messages"]["chunk"][-1]["content"]["body"] == "before"
        query = {"room_id": room, "from": seen["messages"]["end"], "timeout": 20_000}
        listening = asyncio.create_task(bob.get(("events",), query=query))
        await asyncio.sleep(0.2)
        await alice.send(room, "after")
        heard = await listening
        assert [event["content"]["body"] for event in heard["chunk"]] == ["after"]
        initial = await alice.get(("initialSync",), query={"limit": 5})
        assert room in {one["room_id"] for one in initial["rooms"]}

    run(server, play)


def test_reported_room_is_deleted_by_the_operator(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room = await alice.create_room(preset="public_chat", name="Spam")
        await bob.join(room)
        await bob.sync()
        spam = await alice.send(room, "spam")
        await bob.post(("rooms", room, "report", spam), {"reason": "nothing but spam"})
        reports = await asyncio.to_thread(server.command, "admin", "reports")
        assert f"by {bob.user_id}\t{room}\t{spam}\t{alice.user_id}\tnothing but spam\n" in reports
        assert f"{room}\t2 members, 2 of this server" in await asyncio.to_thread(
            server.command, "admin", "rooms", "list"
        )
        said = await asyncio.to_thread(server.command, "admin", "rooms", "delete", room, "--block")
        assert "2 users are put out" in said
        await bob.sync_until(lambda answer: room in answer.get("rooms", {}).get("leave", {}))
        for _ in range(50):
            if "complete" in await asyncio.to_thread(server.command, "admin", "rooms", "status", room):
                break
            await asyncio.sleep(0.2)
        (count,) = server.query(f"SELECT count(*) FROM events WHERE room_id = '{room}'")[0]
        assert count == 0
        await bob.get(("rooms", room, "state"), status=403)
        # Blocked, which a worker may learn some seconds later than that the room is gone.
        assert (await alice.ask("POST", ("join", room), {})).status in (403, 404)

    run(server, play)
