"""Rooms as those see them who are not in them; shared rooms; the oldest ways to read."""

from urllib.parse import quote

import pytest

from hs_workers.client import mutual_rooms
from tests.workers.client.room_world import V1, RoomWorld, User, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
INVALID = (400, "M_INVALID_PARAM")
READABLE = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]


def test_world_readable_room_is_read_by_whoever_looks(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", is_guest=True)
        room_id = await alice.create(preset="public_chat", initial_state=READABLE, visibility="public")
        await world.set_room_data(bob, room_id, "org.test", {"a": 1})
        for number in range(3):
            event_id = await alice.send(room_id, str(number))
        room = await bob.ok("GET", room_path(room_id, "initialSync"), limit=2)
        assert [event["content"]["body"] for event in room["messages"]["chunk"]] == ["1", "2"]
        assert all(event["room_id"] == room_id for event in [*room["messages"]["chunk"], *room["state"]])
        assert {event["type"] for event in room["state"]} >= {"m.room.create", "m.room.member", "m.room.join_rules"}
        assert (room["visibility"], "membership" in room) == ("public", False)
        assert room["account_data"] == [{"type": "org.test", "content": {"a": 1}}]
        earlier = await bob.messages(room_id, from_=room["messages"]["start"], limit=1)
        assert earlier["chunk"][0]["content"]["body"] == "0"
        for path in ("state", "members", "messages?dir=b", f"event/{quote(event_id)}", f"context/{quote(event_id)}"):
            await bob.ok("GET", room_path(room_id, path))
        none = await alice.ok("GET", room_path(room_id, "initialSync"), limit=0)
        assert (none["membership"], none["messages"]["chunk"]) == ("join", [])
        await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "shared"})
        assert await bob.refused("GET", room_path(room_id, "initialSync")) == FORBIDDEN
        assert await bob.refused("GET", room_path("!nowhere:test", "initialSync")) == FORBIDDEN

    play(database_url, scenario)


def test_who_left_sees_the_room_as_he_left_it(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat", name="before")
        await bob.join(room_id)
        await alice.send(room_id, "before")
        await bob.ok("POST", room_path(room_id, "leave"), {})
        await alice.send(room_id, "after")
        await alice.set_state(room_id, "m.room.name", {"name": "after"})
        room = await bob.ok("GET", room_path(room_id, "initialSync"))
        assert room["membership"] == "leave"
        assert "after" not in str(room["messages"]["chunk"])
        (name,) = [event["content"]["name"] for event in room["state"] if event["type"] == "m.room.name"]
        assert name == "before"
        carol = await world.user("carol")
        invited = await alice.create(invite=[carol.user_id])
        assert await carol.refused("GET", room_path(invited, "initialSync")) == FORBIDDEN

    play(database_url, scenario)


def test_single_events_by_their_id_alone(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        event_id = await alice.send(await alice.create(), "hello")
        assert (await alice.ok("GET", f"/events/{quote(event_id)}"))["content"]["body"] == "hello"
        assert await bob.refused("GET", f"/events/{quote(event_id)}") == NOT_FOUND
        assert await bob.refused("GET", "/events/$nothing") == NOT_FOUND

    play(database_url, scenario)


async def mutual(user: User, other: str, **query: str) -> tuple[list[str], int, str | None]:
    answer = await user.ok("GET", f"{V1}/mutual_rooms", user_id=other, **query)
    return answer["joined"], answer["count"], answer.get("next_batch")


def test_mutual_rooms_are_those_that_both_are_in(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        shared = sorted([await alice.create(preset="public_chat") for _ in range(3)])
        left = await alice.create(preset="public_chat")
        for room_id in (*shared, left):
            await bob.join(room_id)
        await bob.ok("POST", room_path(left, "leave"), {})
        await alice.create(invite=[bob.user_id])
        assert await mutual(alice, bob.user_id) == (shared, 3, None)
        assert await mutual(bob, alice.user_id) == (shared, 3, None)
        assert await mutual(alice, "@nobody:elsewhere") == ([], 0, None)
        path = f"{V1}/mutual_rooms"
        for user_id in (alice.user_id, "nonsense", "@über:test", ""):
            assert await alice.refused("GET", path, user_id=user_id) == INVALID
        assert await alice.refused("GET", path) == (400, "M_MISSING_PARAM")
        assert await alice.refused("GET", path, user_id=bob.user_id, from_="x") == INVALID
        monkeypatch.setattr(mutual_rooms, "BATCH", 2)
        first, count, token = await mutual(alice, bob.user_id)
        assert (first, count, token is not None) == (shared[:2], 3, True)
        assert await mutual(alice, bob.user_id, from_=token or "") == (shared[2:], 3, None)

    play(database_url, scenario)
