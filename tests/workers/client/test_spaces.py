"""Spaces and summaries: who hears of which room, order, pages, loops, rooms elsewhere."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest

from hs_workers.client.room import hierarchy
from hs_workers.client.room.elsewhere import RemoteRoom
from tests.workers.client.room_world import V1, RoomWorld, User, play

FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
INVALID = (400, "M_INVALID_PARAM")
AWAY = "!away:elsewhere"


def hierarchy_path(room_id: str) -> str:
    return f"{V1}/rooms/{quote(room_id)}/hierarchy"


def summary_path(room: str) -> str:
    return f"{V1}/room_summary/{quote(room, safe='')}"


async def make_space(user: User, name: str, **wishes: Any) -> str:
    return await user.create(name=name, creation_content={"type": "m.space"}, **wishes)


async def add(user: User, space: str, child: str, **content: Any) -> None:
    await user.set_state(space, "m.space.child", {"via": ["test"], **content}, child)


async def names(user: User, space: str, **query: Any) -> list[str]:
    page = await user.ok("GET", hierarchy_path(space), **query)
    return [room.get("name", "") for room in page["rooms"]]


def restricted_to(space: str) -> list[dict[str, Any]]:
    allow = [{"type": "m.room_membership", "room_id": space}]
    return [{"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}]


def knock() -> list[dict[str, Any]]:
    return [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]


def test_walk_is_depth_first_in_order_and_ends_in_loops(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        top, inner = await make_space(alice, "top"), await make_space(alice, "inner")
        first, second, deep = [await alice.create(name=name) for name in ("first", "second", "deep")]
        await add(alice, top, second, order="b", suggested=True)
        await add(alice, top, inner, order="a")
        await add(alice, top, first)
        await add(alice, inner, deep)
        await add(alice, inner, top)
        await add(alice, top, await alice.create(name="removed"), via=None)
        assert await names(alice, top) == ["top", "inner", "deep", "second", "first"]
        assert await names(alice, top, max_depth=1) == ["top", "inner", "second", "first"]
        assert await names(alice, top, max_depth=0) == ["top"]
        assert await names(alice, top, suggested_only="true") == ["top", "second"]
        root = (await alice.ok("GET", hierarchy_path(top), suggested_only="true"))["rooms"][0]
        assert root["room_type"] == "m.space"
        (child,) = root["children_state"]
        assert set(child) == {"type", "state_key", "sender", "content", "origin_server_ts"}
        assert child["state_key"] == second

    play(database_url, scenario)


def test_pages_go_on_where_they_ended(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        top = await make_space(alice, "top")
        rooms = [await alice.create(name=f"{number}") for number in range(5)]
        for number, room_id in enumerate(rooms):
            await add(alice, top, room_id, order=str(number))
        seen, token = [], ""
        while True:
            page = await alice.ok("GET", hierarchy_path(top), limit=2, **({"from_": token} if token else {}))
            seen += [room["room_id"] for room in page["rooms"]]
            if "next_batch" not in page:
                break
            token = page["next_batch"]
        assert seen == [top, *rooms]
        assert await alice.refused("GET", hierarchy_path(top), from_=token, max_depth=1) == INVALID
        assert await alice.refused("GET", hierarchy_path(top), from_=token, suggested_only="true") == INVALID
        assert await alice.refused("GET", hierarchy_path(top), from_="h1") == INVALID
        assert await alice.refused("GET", hierarchy_path(top), limit=0) == INVALID
        assert await alice.refused("GET", hierarchy_path(top), max_depth=-1) == INVALID

    play(database_url, scenario)


def test_rooms_are_told_to_those_who_could_join_knock_or_read(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        top = await make_space(alice, "top", preset="public_chat")
        readable = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]
        rooms = {
            "private": await alice.create(name="private"),
            "public": await alice.create(name="public", preset="public_chat"),
            "knock": await alice.create(name="knock", initial_state=knock()),
            "restricted": await alice.create(name="restricted", initial_state=restricted_to(top)),
            "readable": await alice.create(name="readable", initial_state=readable),
            "invited": await alice.create(name="invited", invite=[bob.user_id]),
            "banned": await alice.create(name="banned", preset="public_chat"),
        }
        await alice.ok("POST", f"/rooms/{rooms['banned']}/ban", {"user_id": bob.user_id})
        for name, room_id in rooms.items():
            await add(alice, top, room_id, order=name)
        assert await names(bob, top) == ["top", "invited", "knock", "public", "readable"]
        page = await bob.ok("GET", hierarchy_path(top))
        assert len(page["rooms"][0]["children_state"]) == len(rooms)
        await bob.join(top)
        assert await names(bob, top) == ["top", "invited", "knock", "public", "readable", "restricted"]
        told = {room["room_id"]: room for room in (await bob.ok("GET", hierarchy_path(top)))["rooms"]}
        assert told[rooms["restricted"]]["allowed_room_ids"] == [top]
        assert told[rooms["restricted"]]["num_joined_members"] == 1
        assert await bob.refused("GET", hierarchy_path(rooms["private"])) == FORBIDDEN
        assert await bob.refused("GET", hierarchy_path("!nowhere:test")) == FORBIDDEN
        for name in rooms:
            expected = 404 if name in ("private", "banned") else 200
            assert (await bob.ask("GET", summary_path(rooms[name]))).status == expected, name

    play(database_url, scenario)


def test_summary_by_id_and_alias_with_and_without_an_account(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        encryption = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        room_id = await alice.create(
            preset="public_chat", room_alias_name="lounge", name="Lounge", initial_state=encryption, room_version="11"
        )
        told = await bob.ok("GET", summary_path("#lounge:test"))
        assert told == {
            "room_id": room_id,
            "num_joined_members": 1,
            "world_readable": False,
            "guest_can_join": False,
            "join_rule": "public",
            "name": "Lounge",
            "canonical_alias": "#lounge:test",
            "room_version": "11",
            "encryption": "m.megolm.v1.aes-sha2",
            "membership": "leave",
        }
        assert (await alice.ok("GET", summary_path(room_id)))["membership"] == "join"
        anybody = await world.ask("GET", summary_path(room_id))
        assert (anybody.status, "membership" in anybody.json) == (200, False)
        for path in ("summary/{}", "rooms/{}/summary"):
            unstable = "/_matrix/client/unstable/im.nheko.summary/" + path.format(quote(room_id))
            assert (await bob.ok("GET", unstable))["name"] == "Lounge"
        private = await alice.create(invite=[bob.user_id])
        assert (await bob.ok("GET", summary_path(private)))["membership"] == "invite"
        assert (await world.ask("GET", summary_path(private))).errcode == "M_NOT_FOUND"
        assert await bob.refused("GET", summary_path("#nothing:test")) == NOT_FOUND
        assert await bob.refused("GET", summary_path("nonsense")) == INVALID

    play(database_url, scenario)


class OtherServers:
    """Tells of one space elsewhere with some rooms, one of them for members of a room of ours only, and one into which
    nobody of ours could get."""

    def __init__(self, allowed: str) -> None:
        self.asked: list[tuple[str, Sequence[str], bool]] = []
        common = {"num_joined_members": 3, "world_readable": False, "guest_can_join": False, "room_version": "11"}
        events = [
            {"type": "m.space.child", "state_key": f"!{name}:elsewhere", "sender": "@a:elsewhere",
             "origin_server_ts": ts, "content": {"via": ["elsewhere"]}}
            for ts, name in enumerate(("open", "inside", "closed", "secret"))
        ]  # fmt: skip
        self._summary = {
            **common, "room_id": AWAY, "join_rule": "public", "room_type": "m.space", "name": "away",
            "children_state": [*events, {"nonsense": 1}],
        }  # fmt: skip
        rules: dict[str, dict[str, Any]] = {
            "open": {"join_rule": "knock"},
            "inside": {"join_rule": "restricted", "allowed_room_ids": [allowed]},
            "closed": {"join_rule": "invite"},
        }
        self._children = {
            f"!{name}:elsewhere": {**common, "room_id": f"!{name}:elsewhere", "name": name, **rule}
            for name, rule in rules.items()
        }

    async def room(self, room_id: str, via: Sequence[str], suggested_only: bool) -> RemoteRoom | None:
        self.asked.append((room_id, via, suggested_only))
        secret = frozenset(["!secret:elsewhere"])
        return RemoteRoom(self._summary, self._children, secret) if room_id == AWAY else None


def test_rooms_elsewhere_are_told_as_other_servers_tell_of_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        top = await make_space(alice, "top", preset="public_chat")
        others = world.elsewhere = OtherServers(top)
        await add(alice, top, AWAY, via=["elsewhere"])
        await add(alice, top, "!silent:elsewhere", via=["elsewhere"])
        assert await names(alice, top) == ["top", "away", "open", "inside"]
        assert others.asked[0] == (AWAY, ("elsewhere",), False)
        assert [room_id for room_id, _, _ in others.asked] == [AWAY, "!silent:elsewhere"]
        assert await names(bob, top) == ["top", "away", "open"]
        # One server's word about a room holds for what it tells itself.
        others.asked.clear()
        await add(alice, top, "!secret:elsewhere", via=["elsewhere"], order="z")
        assert await names(bob, top) == ["top", "away", "open"]
        assert "!secret:elsewhere" in [room_id for room_id, _, _ in others.asked]
        away = await bob.ok("GET", summary_path(AWAY), via="elsewhere")
        assert (away["name"], "children_state" in away) == ("away", False)
        assert await bob.refused("GET", summary_path("!silent:elsewhere")) == NOT_FOUND
        monkeypatch.setattr(hierarchy, "MAXIMUM_ASKED", 0)
        assert await names(alice, top) == ["top"]

    play(database_url, scenario)
