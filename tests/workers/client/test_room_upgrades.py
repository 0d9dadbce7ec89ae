"""Room upgrades: what the new room has, how the old one ends, and what follows whom."""

from typing import Any
from urllib.parse import quote

import pytest

from hs_common.matrix.base64 import encode as base64_encode
from hs_common.matrix.signing import SigningKey
from hs_workers.client.room import upgrading
from tests.master.harness import SERVER
from tests.reactor import until
from tests.workers.client.room_world import V1, RoomWorld, User, play, room_path
from tests.workers.client.test_room_send import Policy

FORBIDDEN = (403, "M_FORBIDDEN")
NOBODY = "@nobody:elsewhere"


async def upgrade(user: User, room_id: str, version: str = "12", **more: Any) -> str:
    answer = await user.ok("POST", room_path(room_id, "upgrade"), {"new_version": version, **more})
    replacement: str = answer["replacement_room"]
    return replacement


@pytest.mark.parametrize(("before", "after"), [("1", "12"), ("6", "10"), ("11", "12"), ("12", "11"), ("12", "12")])
def test_new_room_has_what_the_old_one_passed_on(database_url: str, before: str, after: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice", profile={"displayname": "Alice"}), await world.user("bob")
        room_id = await alice.create(
            room_version=before, preset="public_chat", name="Lounge", topic="All", room_alias_name="lounge",
            visibility="public", creation_content={"type": "org.test"},
        )  # fmt: skip
        await alice.ok("POST", room_path(room_id, "ban"), {"user_id": bob.user_id, "reason": "spam"})
        await alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": ["evil"]})
        pos = len(world.master.entries)
        new = await upgrade(alice, room_id, after)
        assert len(world.master.entries) == pos + 1  # one commit
        create = await alice.state(new, "m.room.create")
        assert (create["type"], create["room_version"]) == ("org.test", after)
        tombstone = await alice.state(room_id, "m.room.tombstone", format="event")
        assert tombstone["content"]["replacement_room"] == new
        named = {"room_id": room_id} if after == "12" else {"room_id": room_id, "event_id": tombstone["event_id"]}
        assert create["predecessor"] == named
        assert (await alice.state(new, "m.room.name"))["name"] == "Lounge"
        assert (await alice.state(new, "m.room.topic"))["topic"] == "All"
        assert (await alice.state(new, "m.room.server_acl"))["deny"] == ["evil"]
        assert (await alice.state(new, "m.room.member", alice.user_id))["displayname"] == "Alice"
        ban = await alice.state(new, "m.room.member", bob.user_id)
        assert ban == {"membership": "ban", "reason": "spam"}
        users = (await alice.state(new, "m.room.power_levels"))["users"]
        assert users == ({} if after == "12" else {alice.user_id: 100 if before != "12" else 150})
        assert (await alice.state(new, "m.room.canonical_alias"))["alias"] == "#lounge:test"
        assert await alice.state(room_id, "m.room.canonical_alias") == {}
        assert (await alice.ok("GET", "/directory/room/%23lounge:test"))["room_id"] == new
        assert [room["room_id"] for room in (await alice.ok("GET", "/publicRooms"))["chunk"]] == [new]
        levels = await alice.state(room_id, "m.room.power_levels")
        assert (levels["events_default"], levels["invite"]) == (50, 50)

    play(database_url, scenario)


def test_who_may_not_end_a_room_may_not_upgrade_it(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        body = {"new_version": "12"}
        assert await bob.refused("POST", room_path(room_id, "upgrade"), body) == FORBIDDEN
        assert await carol.refused("POST", room_path(room_id, "upgrade"), body) == FORBIDDEN
        assert await carol.refused("POST", room_path("!nowhere:test", "upgrade"), body) == FORBIDDEN
        path = room_path(room_id, "upgrade")
        unsupported = (400, "M_UNSUPPORTED_ROOM_VERSION")
        assert await alice.refused("POST", path, {"new_version": "x" * 300}) == unsupported
        assert (await alice.refused("POST", path, {}))[0] == 400
        for creators in (["nonsense"], [NOBODY] * 101):
            refused = await alice.refused("POST", path, {**body, "additional_creators": creators})
            assert refused == (400, "M_INVALID_PARAM")
        assert await alice.refused("GET", room_path(room_id, "state/m.room.tombstone/")) == (404, "M_NOT_FOUND")

    play(database_url, scenario)


def test_moderator_who_may_end_the_room_keeps_his_place_and_creators_are_named_anew(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        levels = {
            "users": {alice.user_id: 100, bob.user_id: 50},
            "events": {"m.room.tombstone": 50, "m.room.power_levels": 100},
        }
        room_id = await alice.create(preset="public_chat", room_version="11", power_level_content_override=levels)
        await bob.join(room_id)
        new = await upgrade(bob, room_id, "11")
        assert (await bob.state(new, "m.room.power_levels"))["users"] == levels["users"]
        # He could not raise the old room's levels, and the upgrade went through all the same.
        assert (await alice.state(room_id, "m.room.power_levels")).get("events_default", 0) == 0
        newest = await upgrade(bob, new, "12", additional_creators=[alice.user_id, NOBODY])
        assert (await bob.state(newest, "m.room.create"))["additional_creators"] == [alice.user_id, NOBODY]
        assert (await bob.state(newest, "m.room.power_levels"))["users"] == {}

    play(database_url, scenario)


def test_settings_of_the_old_room_follow_who_joins_the_new_one(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        for user in (alice, bob, carol):
            await user.set_account_data("m.direct", {carol.user_id: [room_id], "@odd:x": 7})
            rule = {"rule_id": room_id, "actions": [], "default": False, "enabled": True}
            await user.set_account_data("m.push_rules", {"global": {"room": [rule]}})
            await world.set_room_data(user, room_id, "m.tag", {"tags": {"u.work": {}}})
        new = await upgrade(alice, room_id)
        await bob.join(new)
        await carol.ok("PUT", room_path(new, f"state/m.room.member/{quote(carol.user_id)}"), {"membership": "join"})
        for user in (alice, bob):
            assert await world.data(user, "m.direct") == {carol.user_id: [room_id, new], "@odd:x": 7}
            rules = (await world.data(user, "m.push_rules"))["global"]["room"]
            assert {rule["rule_id"] for rule in rules} == {room_id, new}
            assert await world.data(user, "m.tag", new) == {"tags": {"u.work": {}}}
        assert await world.data(carol, "m.direct") == {carol.user_id: [room_id], "@odd:x": 7}

    play(database_url, scenario)


def test_many_children_of_a_space_are_carried_over_in_the_background(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "MAXIMUM_CARRIED", 2)
    monkeypatch.setattr("hs_master.jobs.runner.ROOMS_OF_A_SLICE", 2)

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        space = await alice.create(creation_content={"type": "m.space"})
        for number in range(5):
            await alice.set_state(space, "m.space.child", {"via": ["test"]}, f"!{number}:test")
        await alice.set_state(space, "m.space.child", {}, "!removed:test")
        await alice.ok("POST", room_path(space, "ban"), {"user_id": NOBODY})
        new = await upgrade(alice, space)
        await until(lambda: any(f'"state_key":"!{4}:test"' in line for line in world.logged(new)))
        page = await alice.ok("GET", f"{V1}/rooms/{quote(new)}/hierarchy")
        children = {child["state_key"] for child in page["rooms"][0]["children_state"]}
        assert children == {f"!{number}:test" for number in range(5)}
        assert (await alice.state(new, "m.room.member", NOBODY))["membership"] == "ban"

    play(database_url, scenario)


def test_state_that_changes_while_it_is_read_is_read_again(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create(name="before")
        names = iter(range(100))

        async def rename() -> None:
            await alice.set_state(room_id, "m.room.name", {"name": f"{next(names)}"})

        world.link.before["UpgradeRoom"] = [rename]
        new = await upgrade(alice, room_id)
        assert (await alice.state(new, "m.room.name"))["name"] == "0"
        world.link.before["UpgradeRoom"] = [rename] * 9
        assert (await alice.refused("POST", room_path(room_id, "upgrade"), {"new_version": "12"}))[0] == 503

    play(database_url, scenario)


def test_policy_server_signs_the_end_of_the_old_room(database_url: str) -> None:
    policy = Policy(SigningKey("policy_server", b"\x07" * 32))
    content = {"via": SERVER, "public_keys": {"ed25519": base64_encode(policy.key.verify_key.public_bytes)}}

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        await alice.set_state(room_id, "m.room.policy", content)
        new = await upgrade(alice, room_id)
        assert policy.asked == ["m.room.tombstone", "m.room.power_levels"]
        assert (await alice.state(room_id, "m.room.tombstone"))["replacement_room"] == new

    play(database_url, scenario, policy)
