"""Making rooms: presets, options, the order of events, and what is refused."""

from typing import Any

import pytest

from tests.workers.client.room_world import RoomWorld, User, play, room_path


async def _timeline(user: User, room_id: str) -> list[dict[str, Any]]:
    chunk: list[dict[str, Any]] = (await user.messages(room_id, dir="f", limit=100))["chunk"]
    return chunk


PRESETS = [
    ({}, "invite", "can_join"),
    ({"preset": "private_chat"}, "invite", "can_join"),
    ({"preset": "trusted_private_chat"}, "invite", "can_join"),
    ({"preset": "public_chat"}, "public", "forbidden"),
    ({"visibility": "public"}, "public", "forbidden"),
    ({"visibility": "public", "preset": "private_chat"}, "invite", "can_join"),
]


def test_presets_set_join_rules_and_guest_access(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        for wishes, join_rule, guest_access in PRESETS:
            room_id = await alice.create(**wishes)
            assert await alice.state(room_id, "m.room.join_rules") == {"join_rule": join_rule}
            assert await alice.state(room_id, "m.room.guest_access") == {"guest_access": guest_access}
            assert await alice.state(room_id, "m.room.history_visibility") == {"history_visibility": "shared"}

    play(database_url, scenario)


def test_events_come_in_the_specified_order(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice", profile={"displayname": "Alice"}), await world.user("bob")
        room_id = await alice.create(
            room_alias_name="pub",
            name="Pub",
            topic="Beer",
            invite=[bob.user_id],
            is_direct=True,
            creation_content={"type": "m.space", "m.federate": False, "creator": "@evil:test"},
            initial_state=[
                {"type": "m.room.name", "content": {"name": "overridden"}},
                {"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
                {"type": "org.test", "state_key": "x", "content": {"a": 1}},
            ],
            power_level_content_override={"events_default": 7},
        )
        events = await _timeline(alice, room_id)
        assert [event["type"] for event in events] == [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.join_rules",
            "org.test",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
        ]
        contents = [event["content"] for event in events]
        assert contents[0] == {"type": "m.space", "m.federate": False, "room_version": "12"}
        assert contents[1] == {"membership": "join", "displayname": "Alice"}
        assert contents[2]["events_default"] == 7
        assert contents[2]["users"] == {}
        assert contents[2]["events"]["m.room.tombstone"] > contents[2]["state_default"] + 50
        assert contents[3] == {"alias": "#pub:test"}
        assert contents[8] == {"name": "Pub"}
        assert contents[9] == {"topic": "Beer", "m.topic": {"m.text": [{"mimetype": "text/plain", "body": "Beer"}]}}
        assert contents[10] == {"membership": "invite", "is_direct": True}
        assert (await alice.ok("GET", "/directory/room/%23pub:test"))["room_id"] == room_id

    play(database_url, scenario)


@pytest.mark.parametrize("version", ["1", "6", "10", "11", "12"])
def test_trusted_invitees_have_the_creators_power(database_url: str, version: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(room_version=version, preset="trusted_private_chat", invite=[bob.user_id])
        create = await alice.state(room_id, "m.room.create")
        levels = await alice.state(room_id, "m.room.power_levels")
        assert create["room_version"] == version
        assert create.get("creator") == (alice.user_id if int(version) < 11 else None)
        if version == "12":
            assert levels["users"] == {}
            assert create["additional_creators"] == [bob.user_id]
        else:
            assert levels["users"] == {alice.user_id: 100, bob.user_id: 100}
        await bob.join(room_id)
        await bob.set_state(room_id, "m.room.power_levels", {**levels, "ban": 60})

    play(database_url, scenario)


REFUSED: list[tuple[Any, int, str]] = [
    (b"{", 400, "M_NOT_JSON"),
    (b"[]", 400, "M_BAD_JSON"),
    ({"name": 5}, 400, "M_BAD_JSON"),
    ({"visibility": "secret"}, 400, "M_BAD_JSON"),
    ({"preset": "party"}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "m.room.name"}]}, 400, "M_MISSING_PARAM"),
    ({"initial_state": [{"type": "x", "content": {"a": 1.5}}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "x", "content": {}}] * 200}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "m.room.member", "content": {}}]}, 400, "M_INVALID_ROOM_STATE"),
    ({"initial_state": [{"type": "m.room.create", "content": {}}]}, 400, "M_INVALID_ROOM_STATE"),
    ({"creation_content": {"a": 2**60}}, 400, "M_BAD_JSON"),
    ({"room_version": "banana"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
    ({"room_alias_name": "with:colon"}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": ""}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "taken"}, 400, "M_ROOM_IN_USE"),
    ({"power_level_content_override": {"users": {"@alice:test": 50}}}, 400, "M_INVALID_ROOM_STATE"),
    (
        {"room_version": "10", "name": "n", "power_level_content_override": {"users": {"@alice:test": 10}}},
        400,
        "M_INVALID_ROOM_STATE",
    ),
    ({"creation_content": {"additional_creators": ["x"]}}, 400, "M_INVALID_ROOM_STATE"),
    ({"invite": ["bob"]}, 400, "M_INVALID_PARAM"),
    ({"invite": ["@alice:test"]}, 400, "M_INVALID_PARAM"),
    ({"invite": [f"@u{n}:test" for n in range(101)]}, 400, "M_INVALID_PARAM"),
    ({"invite": ["@nobody:test"]}, 404, "M_NOT_FOUND"),
    ({"invite": ["@carol:test"]}, 403, "M_INVITE_BLOCKED"),
    ({"invite_3pid": [{"medium": "email"}]}, 400, "M_MISSING_PARAM"),
    (
        {"invite_3pid": [{"medium": "email", "address": "a@b", "id_server": "x", "id_access_token": "y"}]},
        400,
        "M_SERVER_NOT_TRUSTED",
    ),
    ({"topic": "x" * 70_000}, 413, "M_TOO_LARGE"),
    ({"topic": "a\0b"}, 400, "M_BAD_JSON"),
]


def test_what_cannot_be_is_refused_and_leaves_no_room(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, carol = await world.user("alice"), await world.user("carol")
        await carol.set_account_data("m.invite_permission_config", {"default_action": "block"})
        await alice.create(room_alias_name="taken")
        for wishes, status, errcode in REFUSED:
            assert await alice.refused("POST", "/createRoom", wishes) == (status, errcode), wishes
        assert len((await alice.ok("GET", "/joined_rooms"))["joined_rooms"]) == 1

    play(database_url, scenario)


def test_guests_make_no_rooms_and_nobody_does_without_a_token(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        guest = await world.user("guest", is_guest=True)
        assert await guest.refused("POST", "/createRoom", {}) == (403, "M_GUEST_ACCESS_FORBIDDEN")
        answer = await world.ask("POST", "/createRoom", b"{")
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")

    play(database_url, scenario)


def test_the_default_version_is_a_setting(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        assert room_id.endswith(":test")
        assert (await alice.state(room_id, "m.room.create"))["room_version"] == "9"
        assert (await alice.ok("GET", room_path(room_id, "state")))[0]["type"] == "m.room.create"

    play(database_url, scenario, server={"name": "test", "default_room_version": "9"})
