"""Rooms in plain HTTP: ways in and out, names and directories, places in the history, threads."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.scenarios.client import Caller, Json, User, bodies, event_ids, http_session, register, unique
from tests.scenarios.server import Server

Play = Callable[[User, User], Awaitable[None]]


def run(server: Server, play: Play) -> None:
    """Play with Alice and Bob, who share nothing yet."""

    async def prepared() -> None:
        async with http_session() as http:
            urls = [server.url, *server.worker_urls()]
            await play(await register(http, urls, "alice"), await register(http, urls, "bob"))

    asyncio.run(prepared())


async def membership(reader: User, room_id: str, user: User) -> str:
    content = await reader.get(("rooms", room_id, "state", "m.room.member", user.user_id))
    return str(content["membership"])


def test_knock_is_seen_and_answered_by_an_invite(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        join_rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room_id = await alice.create_room(initial_state=[join_rules], name="Closed door")
        await bob.join(room_id, status=403, errcode="M_FORBIDDEN")
        await bob.post(("knock", room_id), {"reason": "let me in"})
        knocking = await bob.sync_until(lambda answer: room_id in answer["rooms"].get("knock", {}))
        stripped = knocking["rooms"]["knock"][room_id]["knock_state"]["events"]
        assert {"m.room.join_rules", "m.room.name"} <= {event["type"] for event in stripped}
        assert await membership(alice, room_id, bob) == "knock"
        await alice.invite(room_id, bob)
        await bob.sync_until(lambda answer: room_id in answer.get("rooms", {}).get("invite", {}))
        await bob.join(room_id)
        assert await membership(alice, room_id, bob) == "join"

    run(server, play)


def test_kicked_may_return_and_banned_may_not_until_unbanned(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        await bob.post(("rooms", room_id, "kick"), {"user_id": alice.user_id}, status=403, errcode="M_FORBIDDEN")
        await alice.post(("rooms", room_id, "kick"), {"user_id": bob.user_id, "reason": "a warning"})
        assert await membership(alice, room_id, bob) == "leave"
        await bob.join(room_id)
        await alice.post(("rooms", room_id, "ban"), {"user_id": bob.user_id})
        await bob.call("POST", ("join", room_id), {}, status=403)
        await bob.call("PUT", ("rooms", room_id, "send", "m.room.message", unique("t")), {"body": ""}, status=403)
        await alice.post(("rooms", room_id, "invite"), {"user_id": bob.user_id}, status=403)
        await alice.post(("rooms", room_id, "unban"), {"user_id": bob.user_id})
        await bob.join(room_id)
        assert await membership(alice, room_id, bob) == "join"

    run(server, play)


def test_room_for_members_of_another_lets_only_these_in(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        space = await alice.create_room(preset="public_chat")
        allow = [{"type": "m.room_membership", "room_id": space}]
        rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "restricted", "allow": allow}}
        room_id = await alice.create_room(initial_state=[rules])
        await bob.join(room_id, status=403, errcode="M_FORBIDDEN")
        await bob.join(space)
        await bob.join(room_id)
        content = await alice.get(("rooms", room_id, "state", "m.room.member", bob.user_id))
        assert content["membership"] == "join"

    run(server, play)


def test_alias_leads_to_the_room_until_it_is_taken_away(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        local = unique("gate")
        room_id = await alice.create_room(room_alias_name=local, preset="public_chat")
        server_name = alice.user_id.partition(":")[2]
        alias, second = f"#{local}:{server_name}", f"#{unique('gate')}:{server_name}"
        assert (await bob.get(("directory", "room", alias)))["room_id"] == room_id
        assert await bob.join(alias) == room_id
        await alice.put(("directory", "room", second), {"room_id": room_id})
        await alice.put(("directory", "room", second), {"room_id": room_id}, status=409)
        assert set((await bob.get(("rooms", room_id, "aliases")))["aliases"]) == {alias, second}
        await bob.delete(("directory", "room", second), status=403, errcode="M_FORBIDDEN")
        await alice.delete(("directory", "room", second))
        await bob.get(("directory", "room", second), status=404, errcode="M_NOT_FOUND")
        await alice.call("POST", ("createRoom",), {"room_alias_name": local}, status=400, errcode="M_ROOM_IN_USE")

    run(server, play)


def test_public_rooms_are_found_and_hidden_again(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        word = unique("market")
        room_id = await alice.create_room(visibility="public", preset="public_chat", name=word, topic="Fish")
        wanted = {"filter": {"generic_search_term": word}}
        (found,) = (await bob.post(("publicRooms",), wanted))["chunk"]
        assert (found["room_id"], found["name"], found["topic"], found["num_joined_members"]) == (
            *(room_id, word, "Fish"),
            1,
        )
        anybody = Caller(alice.http, alice.urls)
        assert await anybody.get(("directory", "list", "room", room_id)) == {"visibility": "public"}
        assert "chunk" in await anybody.get(("publicRooms",), query={"limit": 1})
        await alice.put(("directory", "list", "room", room_id), {"visibility": "private"})
        assert (await bob.post(("publicRooms",), wanted))["chunk"] == []

    run(server, play)


def test_event_is_found_by_time_and_shown_among_its_neighbours(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        sent = [await alice.send(room_id, f"text {number}") for number in range(9)]
        event = await bob.get(("rooms", room_id, "event", sent[4]))
        query: dict[str, Any] = {"ts": event["origin_server_ts"], "dir": "f"}
        found = await bob.get(("rooms", room_id, "timestamp_to_event"), query=query, version="v1")
        assert found["origin_server_ts"] >= event["origin_server_ts"]
        assert found["event_id"] in sent
        context = await bob.get(("rooms", room_id, "context", sent[4]), query={"limit": 4})
        assert event_ids(context["events_before"]) == [sent[3], sent[2]]
        assert event_ids(context["events_after"]) == [sent[5], sent[6]]
        before = await bob.messages(room_id, dir="b", limit=2, **{"from": context["start"]})
        assert event_ids(before["chunk"]) == [sent[1], sent[0]]
        after = await bob.messages(room_id, dir="f", limit=5, **{"from": context["end"]})
        assert event_ids(after["chunk"]) == sent[7:]

    run(server, play)


def test_threads_are_listed_by_their_latest_words(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        first, second = [await alice.send(room_id, f"root {number}") for number in range(2)]
        for root in (first, second, first):
            await alice.send(room_id, "reply", {"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
        reply = await bob.send(room_id, "mine", {"m.relates_to": {"rel_type": "m.thread", "event_id": second}})
        listed = (await bob.get(("rooms", room_id, "threads"), version="v1"))["chunk"]
        assert event_ids(listed) == [second, first]
        summary = listed[0]["unsigned"]["m.relations"]["m.thread"]
        assert (summary["count"], summary["latest_event"]["event_id"]) == (2, reply)
        assert summary["current_user_participated"] is True
        mine = await bob.get(("rooms", room_id, "threads"), query={"include": "participated"}, version="v1")
        assert event_ids(mine["chunk"]) == [second]
        replies = await alice.get(("rooms", room_id, "relations", second, "m.thread"), version="v1")
        assert bodies(replies["chunk"]) == ["mine", "reply"]

    run(server, play)


def test_edit_is_bundled_and_a_second_same_reaction_refused(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        event_id = await alice.send(room_id, "tpyo")
        new = {"msgtype": "m.text", "body": "typo"}
        replaces = {"rel_type": "m.replace", "event_id": event_id}
        edit = await alice.send(room_id, "* typo", {"m.new_content": new, "m.relates_to": replaces})
        event = await bob.get(("rooms", room_id, "event", event_id))
        assert event["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "+"}}
        await bob.send_event(room_id, "m.reaction", reaction)
        path = ("rooms", room_id, "send", "m.reaction", unique("t"))
        await bob.put(path, reaction, status=400, errcode="M_DUPLICATE_ANNOTATION")

    run(server, play)


def test_same_transaction_is_one_event_and_unchanged_state_too(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room()
        path = ("rooms", room_id, "send", "m.room.message", unique("t"))
        sent = [await alice.put(path, {"msgtype": "m.text", "body": "once"}) for _ in range(3)]
        assert sent[0] == sent[1] == sent[2]
        topics = [await alice.set_state(room_id, "m.room.topic", {"topic": "same"}) for _ in range(2)]
        assert topics[0] == topics[1]
        assert bodies(await alice.history(room_id)) == ["once"]

    run(server, play)


def test_who_may_not_see_is_refused(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        room_id = await alice.create_room()
        event_id = await alice.send(room_id, "secret")
        refused: list[tuple[str, ...]] = [("state",), ("members",), ("messages",), ("joined_members",)]
        for path in refused:
            query = {"dir": "b"} if path == ("messages",) else None
            await bob.get(("rooms", room_id, *path), query=query, status=403, errcode="M_FORBIDDEN")
        await bob.get(("rooms", room_id, "event", event_id), status=404, errcode="M_NOT_FOUND")
        assert (await alice.get(("joined_rooms",)))["joined_rooms"] == [room_id]
        assert (await bob.get(("joined_rooms",)))["joined_rooms"] == []

    run(server, play)


def test_history_for_members_begins_with_the_invite_or_the_join(server: Server) -> None:
    async def play(alice: User, bob: User) -> None:
        async def seen(visibility: str) -> list[str]:
            content: Json = {"history_visibility": visibility}
            state = {"type": "m.room.history_visibility", "state_key": "", "content": content}
            room_id = await alice.create_room(initial_state=[state])
            await alice.send(room_id, "before the invite")
            await alice.invite(room_id, bob)
            await alice.send(room_id, "invited")
            await bob.join(room_id)
            await alice.send(room_id, "joined")
            return bodies(await bob.history(room_id))

        assert await seen("shared") == ["before the invite", "invited", "joined"]
        assert await seen("invited") == ["invited", "joined"]
        assert await seen("joined") == ["joined"]

    run(server, play)
