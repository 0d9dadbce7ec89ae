"""Ghosts of application services join as everybody does; where the room lets them in nobody looks at it first."""

import msgspec
import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import AppendEvents, Call
from hs_common.replication.link_interface import unknown_outcome
from tests.workers.client.room_world import RoomWorld, User, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")


async def _ghost(world: RoomWorld, name: str, **profile: str) -> User:
    return await world.user(name, profile=profile, appservice_id="bridge")


def _appended(world: RoomWorld) -> list[Call]:
    return [call for call in world.link.calls if isinstance(call, AppendEvents)]


def test_a_ghost_joins_with_one_call_and_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost", displayname="Boo")
        room_id = await alice.create(preset="public_chat")
        world.link.calls.clear()
        for reason in ("first", "second"):
            assert await ghost.ok("POST", room_path(room_id, "join"), {"reason": reason}) == {"room_id": room_id}
        assert len(_appended(world)) == 2
        content = await alice.state(room_id, "m.room.member", ghost.user_id)
        assert content == {"membership": "join", "displayname": "Boo", "reason": "first"}
        await ghost.ok("POST", room_path(room_id, "leave"))
        await ghost.join(room_id)
        assert await ghost.ok("GET", "/joined_rooms") == {"joined_rooms": [room_id]}

    play(database_url, scenario)


def test_who_is_kept_out_stays_out(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost")
        private, public = await alice.create(), await alice.create(preset="public_chat")
        await alice.ok("POST", room_path(public, "ban"), {"user_id": ghost.user_id})
        for room_id in (private, public):
            assert await ghost.refused("POST", room_path(room_id, "join"), {}) == FORBIDDEN
        assert await ghost.refused("POST", room_path("!nowhere:test", "join"), {}) == (404, "M_NOT_FOUND")
        await alice.ok("POST", room_path(private, "invite"), {"user_id": ghost.user_id})
        await ghost.join(private)

    play(database_url, scenario)


@pytest.mark.parametrize("version", ["8", "12"])
def test_a_restricted_room_asks_who_lets_the_ghost_in(database_url: str, version: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost")
        space = await alice.create(preset="public_chat")
        rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
        rules = [{"type": "m.room.join_rules", "content": rule}]
        room_id = await alice.create(room_version=version, initial_state=rules)
        assert await ghost.refused("POST", room_path(room_id, "join"), {}) == FORBIDDEN
        await ghost.join(space)
        await ghost.join(room_id)
        content = await alice.state(room_id, "m.room.member", ghost.user_id)
        assert content == {"membership": "join", "join_authorised_via_users_server": alice.user_id}

    play(database_url, scenario)


def test_a_room_that_this_server_has_left_is_joined_through_others(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost")
        room_id = await alice.create(preset="public_chat")
        await alice.ok("POST", room_path(room_id, "leave"))
        assert (await ghost.refused("POST", room_path(room_id, "join"), {}))[0] in (404, 502)
        assert await ghost.ok("GET", "/joined_rooms") == {"joined_rooms": []}

    play(database_url, scenario)


def test_an_unknown_outcome_is_told_and_nothing_else_tried(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost")
        room_id = await alice.create(preset="public_chat")

        async def no_answer() -> None:
            raise unknown_outcome()

        world.link.calls.clear()
        world.link.before["AppendEvents"] = [no_answer]
        assert (await ghost.refused("POST", room_path(room_id, "join"), {}))[0] == 503
        assert _appended(world) == []

    play(database_url, scenario)


def test_a_master_of_the_version_before_knows_no_such_join_and_lets_the_ghost_in(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, ghost = await world.user("alice"), await _ghost(world, "ghost", displayname="Boo")
        room_id = await alice.create(preset="public_chat")
        unknown = MatrixError(400, "M_BAD_JSON", "The call AppendEvents does not fit: Object contains unknown field")

        async def as_before() -> None:
            raise unknown

        world.link.calls.clear()
        world.link.before["AppendEvents"] = [as_before]
        await ghost.join(room_id)
        (call,) = _appended(world)
        assert isinstance(call, AppendEvents)
        assert {"joins_here", "with_profile"}.isdisjoint(msgspec.to_builtins(call.intents[0]))
        content = await alice.state(room_id, "m.room.member", ghost.user_id)
        assert content == {"membership": "join", "displayname": "Boo"}

    play(database_url, scenario)
