"""Reading a room: events, state, members, and who may."""

from typing import Any
from urllib.parse import quote

import pytest

from hs_workers.client.room import members
from tests.workers.client.room_world import V1, RoomWorld, User, play, relations_path, room_path

FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
INVALID = (400, "M_INVALID_PARAM")


def event_path(room_id: str, event_id: str) -> str:
    return room_path(room_id, f"event/{quote(event_id, safe='')}")


async def _bodies(user: User, room_id: str, **query: Any) -> list[str]:
    page = await user.messages(room_id, limit=100, **query)
    return [event["content"]["body"] for event in page["chunk"] if event["type"] == "m.room.message"]


def test_history_visibility_decides_what_a_joiner_sees(database_url: str) -> None:
    expected = {"joined": ["d"], "invited": ["d", "c"], "shared": ["d", "c", "b"], "world_readable": ["d", "c", "b"]}

    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        for visibility, seen in expected.items():
            room_id = await alice.create()
            await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": visibility})
            before = await alice.send(room_id, "b")
            await alice.ok("POST", room_path(room_id, "invite"), {"user_id": bob.user_id})
            await alice.send(room_id, "c")
            if visibility in ("joined", "shared"):
                assert await bob.refused("GET", room_path(room_id, "messages"), dir="b") == FORBIDDEN
            elif visibility == "invited":
                assert await _bodies(bob, room_id) == ["c"]
            await bob.join(room_id)
            await alice.send(room_id, "d")
            assert await _bodies(bob, room_id) == seen
            assert await _bodies(bob, room_id, dir="f") == seen[::-1]
            if "b" in seen:
                assert (await bob.event(room_id, before))["unsigned"]["membership"] == "leave"
            else:
                assert await bob.refused("GET", event_path(room_id, before)) == NOT_FOUND
            if visibility == "world_readable":
                assert await _bodies(carol, room_id) == seen
                assert await carol.state(room_id, "m.room.join_rules") == {"join_rule": "invite"}
            else:
                for path in ("messages?dir=b", "state", "members", "aliases", "state/m.room.name", "joined_members"):
                    assert await carol.refused("GET", room_path(room_id, path)) == FORBIDDEN, path
                assert await carol.refused("GET", event_path(room_id, before)) == NOT_FOUND

    play(database_url, scenario)


def test_who_has_left_sees_the_room_as_it_was_then(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat", name="Old")
        await bob.join(room_id)
        seen = await alice.send(room_id, "seen")
        await bob.ok("POST", room_path(room_id, "leave"))
        unseen = await alice.send(room_id, "unseen")
        await alice.set_state(room_id, "m.room.name", {"name": "New"})
        await carol.join(room_id)
        assert await bob.state(room_id, "m.room.name") == {"name": "Old"}
        assert await _bodies(bob, room_id) == ["seen"]
        page = await bob.messages(room_id)
        assert page["chunk"][0]["content"] == {"membership": "leave"}
        members = (await bob.ok("GET", room_path(room_id, "members")))["chunk"]
        assert {event["state_key"]: event["content"]["membership"] for event in members} == {
            alice.user_id: "join",
            bob.user_id: "leave",
        }
        assert (await bob.event(room_id, seen))["unsigned"]["membership"] == "join"
        for path in (event_path(room_id, unseen), room_path(room_id, f"context/{quote(unseen, safe='')}")):
            assert await bob.refused("GET", path) == NOT_FOUND
        assert await bob.refused("GET", room_path(room_id, "joined_members")) == FORBIDDEN
        await bob.ok("POST", room_path(room_id, "forget"))
        assert await bob.refused("GET", room_path(room_id, "state")) == FORBIDDEN
        assert await bob.refused("GET", event_path(room_id, seen)) == NOT_FOUND

    play(database_url, scenario)


def test_state_and_members_are_listed(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice", profile={"displayname": "Alice"})
        bob, carol = await world.user("bob", profile={"avatar_url": "mxc://test/b"}), await world.user("carol")
        room_id = await alice.create(preset="public_chat", name="Pub", invite=[carol.user_id])
        early = (await alice.messages(room_id))["start"]
        await bob.join(room_id)
        state = await alice.ok("GET", room_path(room_id, "state"))
        names = [event for event in state if event["type"] == "m.room.name"]
        assert [(event["content"], event["state_key"], event["room_id"]) for event in names] == [
            ({"name": "Pub"}, "", room_id)
        ]
        assert len(state) == 9
        path = room_path(room_id, "members")

        async def listed(**query: Any) -> set[str]:
            return {event["state_key"] for event in (await alice.ok("GET", path, **query))["chunk"]}

        everybody = {alice.user_id, bob.user_id, carol.user_id}
        assert await listed() == everybody
        assert await listed(membership="join") == {alice.user_id, bob.user_id}
        assert await listed(not_membership="join") == {carol.user_id}
        assert await listed(membership="invite", not_membership="ban") == everybody
        assert await listed(membership="ban") == set()
        assert await listed(at=early) == {alice.user_id, carol.user_id}
        assert await alice.refused("GET", path, membership="friend") == INVALID
        assert await alice.refused("GET", path, at="yesterday") == INVALID
        joined = await alice.ok("GET", room_path(room_id, "joined_members"))
        shown = {alice.user_id: {"display_name": "Alice"}, bob.user_id: {"avatar_url": "mxc://test/b"}}
        assert joined == {"joined": shown}
        assert await alice.refused("GET", room_path(room_id, "state/m.room.topic/")) == NOT_FOUND
        assert await alice.refused("GET", room_path(room_id, "state/m.room.name/"), format="xml") == INVALID

    play(database_url, scenario)


def test_members_are_listed_page_by_page_as_they_were_at_one_position(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "PAGE", 2)

    async def scenario(world: RoomWorld) -> None:
        users = [await world.user(f"user{number}", profile={"displayname": f'"{number}'}) for number in range(5)]
        alice, *others = users
        room_id = await alice.create(preset="public_chat")
        for number, user in enumerate(others, 2):
            await user.join(room_id)
            listed = (await alice.ok("GET", room_path(room_id, "members")))["chunk"]
            assert [event["state_key"] for event in listed] == [one.user_id for one in users[:number]]
            joined = (await alice.ok("GET", room_path(room_id, "joined_members")))["joined"]
            assert joined == {one.user_id: {"display_name": f'"{n}'} for n, one in enumerate(users[:number])}
        pages = members._Pages(
            world.db, room_id, world.master.entries[-1].pos, "join", None, lambda rows: [b"%d" % len(rows)]
        )
        read = [await pages.next()]
        await others[0].ok("POST", room_path(room_id, "leave"), {})
        read += [await pages.next() for _ in range(3)]
        assert read == [[b"2"], [b"2"], [b"1"], None]
        pages = members._Pages(world.db, room_id, world.master.entries[-1].pos, None, None, lambda rows: [])
        assert await pages.next() == []
        await world.db.execute("DELETE FROM state WHERE room_id = %s", [room_id])
        await world.db.execute("DELETE FROM rooms WHERE room_id = %s", [room_id])
        with pytest.raises(members.RoomGone):
            await pages.next()

    play(database_url, scenario)


def test_context_shows_both_sides_and_the_state_there(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat", name="One")
        await bob.join(room_id)
        events = [await alice.send(room_id, str(number)) for number in range(10)]
        await alice.set_state(room_id, "m.room.name", {"name": "Two"})
        path = room_path(room_id, f"context/{quote(events[5], safe='')}")
        context = await alice.ok("GET", path, limit=5)
        assert context["event"]["event_id"] == events[5]
        assert [event["event_id"] for event in context["events_before"]] == [events[4], events[3]]
        assert [event["event_id"] for event in context["events_after"]] == events[6:9]
        assert {"name": "One"} in [event["content"] for event in context["state"]]
        older = await alice.messages(room_id, from_=context["start"], limit=1)
        newer = await alice.messages(room_id, from_=context["end"], limit=1, dir="f")
        assert [page["chunk"][0]["event_id"] for page in (older, newer)] == [events[2], events[9]]
        alone = await alice.ok("GET", path, limit=0)
        assert (alone["events_before"], alone["events_after"], alone["event"]["event_id"]) == ([], [], events[5])
        lazy = await alice.ok("GET", path, limit=2, filter='{"lazy_load_members":true}')
        members = [event["state_key"] for event in lazy["state"] if event["type"] == "m.room.member"]
        assert members == [alice.user_id]
        named = await alice.ok("GET", path, filter='{"types":["m.room.name"]}')
        assert [event["content"]["name"] for event in named["events_after"]] == ["Two"]
        assert [event["content"]["name"] for event in named["state"]] == ["Two"]
        assert await alice.refused("GET", room_path(room_id, "context/$nothing")) == NOT_FOUND
        assert await alice.refused("GET", path, limit=-1) == INVALID
        assert await alice.refused("GET", path, filter="{") == (400, "M_BAD_JSON")

    play(database_url, scenario)


def test_jumping_to_a_date(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
        hidden = [await alice.send(room_id, str(number)) for number in range(60)]
        await bob.join(room_id)
        sent = await alice.send(room_id, "last")
        ts = (await alice.event(room_id, sent))["origin_server_ts"]
        path = f"{V1}/rooms/{quote(room_id)}/timestamp_to_event"
        found = {"event_id": sent, "origin_server_ts": ts}
        assert await alice.ok("GET", path, ts=ts, dir="f") == found
        assert await alice.ok("GET", path, ts=ts + 999, dir="b") == found
        assert await alice.refused("GET", path, ts=ts + 1, dir="f") == NOT_FOUND
        assert await alice.refused("GET", path, ts=0, dir="b") == NOT_FOUND
        hidden_ts = (await alice.event(room_id, hidden[0]))["origin_server_ts"]
        assert (await alice.ok("GET", path, ts=hidden_ts, dir="f"))["event_id"] == hidden[0]
        first = await bob.ok("GET", path, ts=hidden_ts, dir="f")
        assert (await bob.event(room_id, first["event_id"]))["state_key"] == bob.user_id
        assert await alice.refused("GET", path, ts="noon", dir="f") == INVALID
        assert await alice.refused("GET", path, ts=1, dir="x") == INVALID
        assert await alice.refused("GET", path, ts=1) == (400, "M_MISSING_PARAM")
        stranger = await world.user("stranger")
        assert await stranger.refused("GET", path, ts=0, dir="f") == FORBIDDEN

    play(database_url, scenario)


def test_ignored_users_are_not_heard_but_their_state_is_seen(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        levels = {"events": {"m.room.topic": 0}}
        room_id = await alice.create(preset="public_chat", power_level_content_override=levels)
        await bob.join(room_id)
        root, spam = await alice.send(room_id, "root"), await bob.send(room_id, "spam")
        await bob.relate(room_id, "m.thread", root)
        await alice.relate(room_id, "m.thread", spam)
        await bob.set_state(room_id, "m.room.topic", {"topic": "bob's"})
        await alice.set_account_data("m.ignored_user_list", {"ignored_users": {bob.user_id: {}}})
        chunk = (await alice.messages(room_id, limit=100))["chunk"]
        assert {event["type"] for event in chunk if event["sender"] == bob.user_id} == {"m.room.member", "m.room.topic"}
        assert "m.relations" not in (await alice.event(room_id, root))["unsigned"]
        assert await alice.refused("GET", event_path(room_id, spam)) == NOT_FOUND
        assert (await alice.ok("GET", relations_path(room_id, root)))["chunk"] == []
        threads = (await alice.ok("GET", f"{V1}/rooms/{quote(room_id)}/threads"))["chunk"]
        assert [event["event_id"] for event in threads] == [spam]
        assert threads[0]["content"] == {}
        assert threads[0]["unsigned"]["m.relations"]["m.thread"]["count"] == 1

    play(database_url, scenario)
