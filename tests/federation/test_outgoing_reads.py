"""What clients of a.test are told of other servers: of b.test, which is another Viaduct, and of c.test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from hs_common.matrix.signing import SigningKey
from tests.federation.foreign_server import Answer, Asked
from tests.federation.pair import B, Pair
from tests.scenarios.client import User, http_session, register, unique
from tests.workers.client.encryption.world import key_of, public, signed

Json = dict[str, Any]
ALGORITHM = "signed_curve25519"


def play(pair: Pair, steps: Callable[[User, User], Awaitable[None]]) -> None:
    """Alice is at a.test, Bob at b.test."""

    async def prepared() -> None:
        async with http_session() as http:
            alice = await register(http, [pair.a.url], "alice")
            bob = await register(http, [pair.b.url], "bob")
            await steps(alice, bob)

    asyncio.run(prepared())


def test_profiles(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        await bob.put(("profile", bob.user_id, "displayname"), {"displayname": "Bob"})
        assert await alice.get(("profile", bob.user_id)) == {"displayname": "Bob"}
        assert await alice.get(("profile", bob.user_id, "displayname")) == {"displayname": "Bob"}
        await alice.get(("profile", bob.user_id, "avatar_url"), status=404, errcode="M_NOT_FOUND")
        await alice.get(("profile", f"@nobody:{B}"), status=404, errcode="M_NOT_FOUND")
        await alice.get(("profile", "@bob:nowhere.test"), status=404, errcode="M_NOT_FOUND")

    play(pair, steps)


def test_aliases_and_directories(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        name = unique("open")
        room_id = await bob.create_room(preset="public_chat", room_alias_name=name, name=name, visibility="public")
        found = await alice.get(("directory", "room", f"#{name}:{B}"))
        assert found == {"room_id": room_id, "servers": [B]}
        await alice.get(("directory", "room", f"#nothing:{B}"), status=404, errcode="M_NOT_FOUND")
        await alice.get(("directory", "room", "#nothing:nowhere.test"), status=403, errcode="M_FORBIDDEN")
        listed = await alice.get(("publicRooms",), query={"server": B, "limit": 100})
        assert room_id in [room["room_id"] for room in listed["chunk"]]
        body = {"filter": {"generic_search_term": name}, "limit": 5}
        searched = await alice.post(("publicRooms",), body, query={"server": B})
        assert [room["name"] for room in searched["chunk"]] == [name]
        await alice.get(("publicRooms",), query={"server": "nowhere.test"}, status=404, errcode="M_NOT_FOUND")

    play(pair, steps)


def test_summaries_and_spaces(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        space = await bob.create_room(preset="public_chat", name="Space", creation_content={"type": "m.space"})
        room_id = await bob.create_room(preset="public_chat", name="Room")
        await bob.put(("rooms", space, "state", "m.space.child", room_id), {"via": [B]})
        summary = await alice.get(("room_summary", space), version="v1", query={"via": B})
        assert (summary["name"], summary["room_type"]) == ("Space", "m.space")
        # A room of ours leads there.
        own = await alice.create_room(preset="public_chat", creation_content={"type": "m.space"})
        await alice.put(("rooms", own, "state", "m.space.child", space), {"via": [B]})
        walked = await alice.get(("rooms", own, "hierarchy"), version="v1")
        assert [room["room_id"] for room in walked["rooms"]] == [own, space, room_id]

    play(pair, steps)


def test_keys(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        device = {
            "user_id": bob.user_id,
            "device_id": bob.device_id,
            "algorithms": ["m.megolm.v1.aes-sha2"],
            "keys": {f"ed25519:{bob.device_id}": "a" * 43, f"curve25519:{bob.device_id}": "b" * 43},
            "signatures": {bob.user_id: {f"ed25519:{bob.device_id}": "c" * 86}},
        }
        key = {"key": "d" * 43, "signatures": {bob.user_id: {f"ed25519:{bob.device_id}": "e" * 86}}}
        await bob.post(("keys", "upload"), {"device_keys": device, "one_time_keys": {f"{ALGORITHM}:K": key}})
        asked: Json = {bob.user_id: [], f"@nobody:{B}": [], "@x:nowhere.test": [], alice.user_id: []}
        found = await alice.post(("keys", "query"), {"device_keys": asked})
        assert found["device_keys"][bob.user_id][bob.device_id]["keys"] == device["keys"]
        assert list(found["failures"]) == ["nowhere.test"]
        wanted = {"one_time_keys": {bob.user_id: {bob.device_id: ALGORITHM}}}
        claimed = await alice.post(("keys", "claim"), wanted)
        assert claimed["one_time_keys"][bob.user_id] == {bob.device_id: {f"{ALGORITHM}:K": key}}
        assert (await alice.post(("keys", "claim"), wanted))["one_time_keys"] == {}
        status, devices = pair.c.ask(
            pair.b.federation_url, B, "GET", f"/_matrix/federation/v1/user/devices/{bob.user_id}"
        )
        assert status == 200
        assert [one["device_id"] for one in devices["devices"]] == [bob.device_id]
        assert devices["devices"][0]["keys"]["keys"] == device["keys"]
        assert devices["stream_id"] > 0

    play(pair, steps)


def test_a_user_of_another_server_is_verified(pair: Pair) -> None:
    """Alice signs Bob's master key: she alone sees that, and only of the very key that he has."""

    def cross_signing(user_id: str) -> tuple[dict[str, SigningKey], Json]:
        keys = {usage: key_of(f"{user_id} {usage}") for usage in ("master", "self_signing", "user_signing")}
        objects: Json = {}
        for usage, key in keys.items():
            name = public(key)
            plain = {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{name}": name}}
            master = keys["master"]
            is_master = usage == "master"
            objects[f"{usage}_key"] = (
                plain if is_master else signed(plain, user_id, f"ed25519:{public(master)}", master)
            )
        return keys, objects

    async def steps(alice: User, bob: User) -> None:
        keys, own = cross_signing(alice.user_id)
        _, his = cross_signing(bob.user_id)
        await alice.post(("keys", "device_signing", "upload"), own)
        await bob.post(("keys", "device_signing", "upload"), his)
        name = f"ed25519:{public(keys['user_signing'])}"
        vouched = signed(his["master_key"], alice.user_id, name, keys["user_signing"])
        target = next(iter(his["master_key"]["keys"].values()))
        forged = {**vouched, "usage": ["master", "self_signing"]}
        failed = await alice.post(("keys", "signatures", "upload"), {bob.user_id: {target: forged}})
        assert failed["failures"][bob.user_id][target]["errcode"] == "M_INVALID_PARAM"
        unknown = await alice.post(("keys", "signatures", "upload"), {bob.user_id: {"A" * 43: vouched}})
        assert unknown["failures"][bob.user_id]["A" * 43]["errcode"] == "M_NOT_FOUND"
        before = (await alice.get(("sync",)))["next_batch"]
        done = await alice.post(("keys", "signatures", "upload"), {bob.user_id: {target: vouched}})
        assert done["failures"] == {}
        seen = await alice.post(("keys", "query"), {"device_keys": {bob.user_id: []}})
        assert seen["master_keys"][bob.user_id]["signatures"][alice.user_id] == vouched["signatures"][alice.user_id]
        told = await alice.get(("sync",), query={"since": before})
        assert told["device_lists"]["changed"] == [bob.user_id]  # her other devices ask again
        himself = await bob.post(("keys", "query"), {"device_keys": {bob.user_id: []}})
        assert alice.user_id not in himself["master_keys"][bob.user_id].get("signatures", {})

    play(pair, steps)


def test_what_a_strange_server_says_is_checked(pair: Pair) -> None:
    """c.test answers nonsense, lies about others, and refuses."""

    def profile(asked: Asked) -> Answer:
        user = parse_qs(asked.query)["user_id"][0]
        answers: dict[str, Answer] = {
            "@list:c.test": (200, []),
            "@text:c.test": (200, b"<html>"),
            "@odd:c.test": (200, {"displayname": 7, "avatar_url": None, "m.tz": "Europe/Berlin"}),
            "@shy:c.test": (403, {"errcode": "M_FORBIDDEN", "error": "Not for you"}),
            "@broken:c.test": (500, {"errcode": "M_UNKNOWN", "error": "Oops"}),
        }
        return answers[user]

    def keys(asked: Asked) -> Answer:
        device = {"user_id": "@alice:a.test", "device_id": "D", "keys": {}, "algorithms": []}
        told = {"@c:c.test": {"D": device, "E": 7}, "@alice:a.test": {"D": device}}
        return 200, {"device_keys": told, "master_keys": {"@c:c.test": {"user_id": "@alice:a.test"}}}

    def directory(asked: Asked) -> Answer:
        return 200, {"room_id": "!r:c.test", "servers": ["c.test", 7, "not a server", "d.test"]}

    def rooms(asked: Asked) -> Answer:
        chunk = [{"room_id": "!r:c.test", "num_joined_members": -1, "topic": ["x"], "evil": 1}, {"room_id": 7}, 7]
        return 200, {"chunk": chunk, "next_batch": 7}

    async def steps(alice: User, bob: User) -> None:
        prefix = "/_matrix/federation/v1"
        pair.c.answers |= {
            f"GET {prefix}/query/profile": profile,
            f"POST {prefix}/user/keys/query": keys,
            f"GET {prefix}/query/directory": directory,
            f"GET {prefix}/publicRooms": rooms,
        }
        for name in ("list", "text"):
            await alice.get(("profile", f"@{name}:c.test"), status=502)
        assert await alice.get(("profile", "@odd:c.test")) == {"m.tz": "Europe/Berlin"}
        await alice.get(("profile", "@shy:c.test"), status=403, errcode="M_FORBIDDEN")
        await alice.get(("profile", "@broken:c.test"), status=502)
        found = await alice.post(("keys", "query"), {"device_keys": {"@c:c.test": []}})
        assert found["device_keys"] == {"@c:c.test": {}}
        assert found["master_keys"] == {}
        alias = await alice.get(("directory", "room", "#r:c.test"))
        assert alias == {"room_id": "!r:c.test", "servers": ["c.test", "d.test"]}
        listed = await alice.get(("publicRooms",), query={"server": "c.test"})
        assert listed["chunk"] == [
            {"room_id": "!r:c.test", "num_joined_members": 0, "world_readable": False, "guest_can_join": False}
        ]
        assert "next_batch" not in listed

    play(pair, steps)
