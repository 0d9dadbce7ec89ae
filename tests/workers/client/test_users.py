"""The user directory: who finds whom."""

from typing import Any

import pytest

from hs_common.replication.calls import DeactivateUser, SetProfile
from hs_workers.client.room import found_users
from tests.workers.client.room_world import RoomWorld, User, play, room_path


async def find(user: User, term: str, **more: Any) -> list[str]:
    answer = await user.ok("POST", "/user_directory/search", {"search_term": term, **more})
    assert isinstance(answer["limited"], bool)
    return [found["user_id"].partition(":")[0] for found in answer["results"]]


def test_those_are_found_whom_one_could_meet(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice", profile={"displayname": "Alice Smith", "avatar_url": "mxc://x/y"})
        bob, carol, dave, erin = [await world.user(name) for name in ("bob", "carol", "dave", "erin")]
        shared = await alice.create()
        await alice.ok("POST", room_path(shared, "invite"), {"user_id": bob.user_id})
        assert await find(bob, "alice") == []
        await bob.join(shared)
        answer = await bob.ok("POST", "/user_directory/search", {"search_term": "smi"})
        found = {"user_id": alice.user_id, "display_name": "Alice Smith", "avatar_url": "mxc://x/y"}
        assert answer == {"results": [found], "limited": False}
        assert await find(bob, "@alice:te") == ["@alice"]
        assert await find(carol, "alice") == []
        public = await dave.create(preset="public_chat")
        assert await find(carol, "dave") == ["@dave"]
        await dave.set_state(public, "m.room.join_rules", {"join_rule": "invite"})
        assert await find(carol, "dave") == []
        await dave.set_state(public, "m.room.history_visibility", {"history_visibility": "world_readable"})
        assert await find(carol, "dave") == ["@dave"]
        assert await find(carol, "erin") == []
        await bob.ok("POST", room_path(shared, "leave"), {})
        assert await find(bob, "alice") == []
        assert erin.user_id

    play(database_url, scenario)


def test_names_are_as_they_are_now_and_ended_accounts_and_guests_are_not_found(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", profile={"displayname": "Robert"})
        guest = await world.user("guest", is_guest=True)
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        await alice.set_state(room_id, "m.room.guest_access", {"guest_access": "can_join"})
        await guest.join(room_id)
        assert (await find(alice, "robert"), await find(alice, "guest")) == (["@bob"], [])
        await world.link.call(SetProfile(user_id=bob.user_id, field="displayname", value=b'"Bobby"'))
        assert (await find(alice, "robert"), await find(alice, "bobby")) == ([], ["@bob"])
        await world.link.call(SetProfile(user_id=bob.user_id, field="displayname", value=None))
        assert (await find(alice, "bobby"), await find(alice, "bob")) == ([], ["@bob"])
        await alice.set_account_data("m.ignored_user_list", {"ignored_users": {bob.user_id: {}}})
        assert await find(alice, "bob") == []
        await alice.set_account_data("m.ignored_user_list", {})
        await world.link.call(DeactivateUser(user_id=bob.user_id))
        assert await find(alice, "bob") == []

    play(database_url, scenario)


def test_exact_names_come_first_and_pages_end(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_users, "LOOKED_AT_ONCE", 2)

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create(preset="public_chat")
        for name in ("ann1", "ann2", "ann3", "annx", "ann"):
            user = await world.user(name, profile={"displayname": "Ann"} if name == "annx" else None)
            if name != "ann3":
                await user.join(room_id)
        found = await find(alice, "ann")
        assert (set(found[:2]), found[2:]) == ({"@ann", "@annx"}, ["@ann1", "@ann2"])
        answer = await alice.ok("POST", "/user_directory/search", {"search_term": "ann", "limit": 2})
        assert (len(answer["results"]), answer["limited"]) == (2, True)
        assert await find(alice, "ann", limit=0) == []
        for term in ("", "   ", "'\\:*&|!", "x" * 5_000):
            assert await find(alice, term) == []
        assert (await alice.refused("POST", "/user_directory/search", {"search_term": "x", "limit": -1}))[0] == 400
        assert (await alice.refused("POST", "/user_directory/search", {}))[0] == 400

    play(database_url, scenario)


def test_operator_may_let_everybody_be_found(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        assert await find(alice, "bob") == ["@bob"]
        assert bob.user_id

    play(database_url, scenario, user_directory={"search_all_users": True})
