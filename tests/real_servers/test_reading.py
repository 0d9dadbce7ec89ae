"""A real Synapse and Viaduct read each other's profiles, aliases, directories, rooms, devices and keys."""

from typing import Any

import pytest

from tests.real_servers.neighbours import Neighbours, play
from tests.real_servers.steps import VERSIONS
from tests.scenarios.client import Caller, User, unique

Json = dict[str, Any]
ALGORITHM = "signed_curve25519"


def test_profiles_both_ways(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        for user, other in ((alice, bob), (bob, alice)):
            await user.put(("profile", user.user_id, "displayname"), {"displayname": "Somebody"})
            found = await other.get(("profile", user.user_id))
            assert found["displayname"] == "Somebody"
            missing = f"@nobody:{user.user_id.partition(':')[2]}"
            assert (await other.ask("GET", ("profile", missing))).status in (404, 403)

    play(neighbours, steps)


def test_aliases_and_directories_both_ways(neighbours: Neighbours) -> None:
    """In all room versions at once: a directory that was read is kept for a while."""

    async def steps(alice: User, bob: User) -> None:
        for user, other in ((alice, bob), (bob, alice)):
            server = user.user_id.partition(":")[2]
            rooms: dict[str, str] = {}
            for version in VERSIONS:
                name = unique(f"open{version}")
                rooms[name] = await user.create_room(
                    preset="public_chat", room_alias_name=name, name=name, visibility="public", room_version=version
                )
            for name, room_id in rooms.items():
                found = await other.get(("directory", "room", f"#{name}:{server}"))
                assert found["room_id"] == room_id
                assert server in found["servers"]
                body = {"filter": {"generic_search_term": name}, "limit": 5}
                searched = await other.post(("publicRooms",), body, query={"server": server})
                assert [room["room_id"] for room in searched["chunk"]] == [room_id]
            await other.get(("directory", "room", f"#nothing:{server}"), status=404)
            listed = await other.get(("publicRooms",), query={"server": server, "limit": 50})
            assert set(rooms.values()) <= {room["room_id"] for room in listed["chunk"]}

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_spaces_both_ways(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        options: Json = {"preset": "public_chat", "room_version": version}
        for user, other in ((alice, bob), (bob, alice)):
            server = user.user_id.partition(":")[2]
            space = await user.create_room(**options, name="Space", creation_content={"type": "m.space"})
            room_id = await user.create_room(**options, name="Room")
            await user.put(("rooms", space, "state", "m.space.child", room_id), {"via": [server]})
            own = await other.create_room(**options, creation_content={"type": "m.space"})
            await other.put(("rooms", own, "state", "m.space.child", space), {"via": [server]})
            walked = await other.get(("rooms", own, "hierarchy"), version="v1")
            assert [room["room_id"] for room in walked["rooms"]] == [own, space, room_id]

    play(neighbours, steps)


def test_keys_both_ways(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        for user, other in ((alice, bob), (bob, alice)):
            device = {
                "user_id": user.user_id,
                "device_id": user.device_id,
                "algorithms": ["m.megolm.v1.aes-sha2"],
                "keys": {f"ed25519:{user.device_id}": "a" * 43, f"curve25519:{user.device_id}": "b" * 43},
                "signatures": {user.user_id: {f"ed25519:{user.device_id}": "c" * 86}},
            }
            key = {"key": "d" * 43, "signatures": {user.user_id: {f"ed25519:{user.device_id}": "e" * 86}}}
            await user.post(("keys", "upload"), {"device_keys": device, "one_time_keys": {f"{ALGORITHM}:K": key}})
            found = await other.post(("keys", "query"), {"device_keys": {user.user_id: []}})
            assert found["device_keys"][user.user_id][user.device_id]["keys"] == device["keys"]
            assert found["failures"] == {}
            wanted = {"one_time_keys": {user.user_id: {user.device_id: ALGORITHM}}}
            claimed = await other.post(("keys", "claim"), wanted)
            assert claimed["one_time_keys"][user.user_id] == {user.device_id: {f"{ALGORITHM}:K": key}}

    play(neighbours, steps)


def test_each_believes_the_others_keys_and_vouches_for_them(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        for user, other in ((alice, bob), (bob, alice)):
            server = user.user_id.partition(":")[2]
            where = neighbours.viaduct if other is alice else neighbours.synapse
            path = f"https://localhost:{where.federation_port}/_matrix/key/v2/query/{server}"
            async with Caller(user.http, []).http.get(path, ssl=False) as response:
                (keys,) = (await response.json())["server_keys"]
            assert keys["server_name"] == server
            assert set(keys["signatures"]) == {server, other.user_id.partition(":")[2]}

    play(neighbours, steps)
