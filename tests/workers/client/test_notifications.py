"""What notified a user: newest first, over all rooms, in pages; highlights alone; read or not."""

from typing import Any

import pytest

from hs_workers.client.room import notified
from tests.workers.client.room_world import RoomWorld, User, play


async def people(world: RoomWorld) -> tuple[User, User, str]:
    alice, bob = await world.user("alice"), await world.user("bob")
    room = await alice.create(preset="public_chat")
    await bob.join(room)
    return alice, bob, room


def ids(page: Any) -> list[str]:
    return [one["event"]["event_id"] for one in page["notifications"]]


def test_notifications_are_listed_from_the_newest_back(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, room = await people(world)
        other = await alice.create(preset="public_chat")
        await alice.send(other, "before he joined")
        await bob.join(other)
        sent = [await alice.send(where, f"message {number}") for number, where in enumerate([room, other, room, other])]
        await bob.send(room, "own")
        await alice.send(room, "a notice", msgtype="m.notice")
        page = await bob.ok("GET", "/notifications")
        assert ids(page) == sent[::-1]
        assert "next_token" not in page
        newest = page["notifications"][0]
        assert (newest["room_id"], newest["read"]) == (other, False)
        assert newest["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]
        assert newest["event"]["content"]["body"] == "message 3"
        assert newest["ts"] == newest["event"]["origin_server_ts"]
        assert ids(await alice.ok("GET", "/notifications"))[0] != sent[3]

    play(database_url, scenario)


def test_pages_join_without_a_gap(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, room = await people(world)
        sent = [await alice.send(room, f"message {number}") for number in range(7)]
        got: list[str] = []
        page: Any = {"next_token": None}
        while "next_token" in page:
            more = {} if page["next_token"] is None else {"from": page["next_token"]}
            page = await bob.ok("GET", "/notifications", limit=3, **more)
            assert len(page["notifications"]) <= 3
            got += ids(page)
        assert got == sent[::-1]
        assert await bob.refused("GET", "/notifications", **{"from": "x"}) == (400, "M_INVALID_PARAM")
        assert await bob.refused("GET", "/notifications", limit=0) == (400, "M_INVALID_PARAM")

    monkeypatch.setattr(notified, "CHUNK", 2)
    play(database_url, scenario)


def test_highlights_alone_and_what_is_read(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, room = await people(world)
        await alice.send(room, "plain")
        to_bob: dict[str, Any] = {"m.mentions": {"user_ids": [bob.user_id]}}
        to_all: dict[str, Any] = {"m.mentions": {"room": True}}
        mention = await alice.send(room, "you", **to_bob)
        everybody = await alice.send(room, "all", **to_all)
        for number in range(3):
            await alice.send(room, f"plain {number}")
        page = await bob.ok("GET", "/notifications", only="highlight")
        assert ids(page) == [everybody, mention]
        await bob.ok("POST", f"/rooms/{room}/receipt/m.read/{mention}", {})
        page = await bob.ok("GET", "/notifications", only="highlight", limit=5)
        assert [one["read"] for one in page["notifications"]] == [False, True]
        await alice.ok("PUT", f"/rooms/{room}/redact/{everybody}/t", {})
        assert ids(await bob.ok("GET", "/notifications", only="highlight")) == [mention]

    play(database_url, scenario)


def test_own_rules_and_ignored_users_count(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, room = await people(world)
        keyword = {
            "rule_id": "cake",
            "default": False,
            "enabled": True,
            "pattern": "cake",
            "actions": ["notify", {"set_tweak": "highlight"}],
        }
        await bob.set_account_data("m.push_rules", {"global": {"content": [keyword]}})
        cake = await alice.send(room, "cake")
        await alice.send(room, "bread")
        page = await bob.ok("GET", "/notifications", only="highlight")
        assert ids(page) == [cake]
        assert page["notifications"][0]["actions"] == ["notify", {"set_tweak": "highlight", "value": True}]
        await bob.set_account_data("m.ignored_user_list", {"ignored_users": {alice.user_id: {}}})
        assert (await bob.ok("GET", "/notifications")) == {"notifications": []}

    play(database_url, scenario)
