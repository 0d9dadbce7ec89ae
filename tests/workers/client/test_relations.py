"""Relationships: children in pages, bundled aggregations, threads."""

from typing import Any
from urllib.parse import quote

import pytest

from hs_common.reading import thread_updates
from hs_workers.client.room import children
from tests.workers.client.room_world import V1, RoomWorld, User, play, relations_path, room_path

NOT_FOUND = (404, "M_NOT_FOUND")


def threads_path(room_id: str) -> str:
    return f"{V1}/rooms/{quote(room_id)}/threads"


async def _edit(user: User, room_id: str, event_id: str, body: str) -> str:
    return await user.relate(room_id, "m.replace", event_id, **{"m.new_content": {"msgtype": "m.text", "body": body}})


async def _bundle(user: User, room_id: str, event_id: str) -> dict[str, Any]:
    bundle: dict[str, Any] = (await user.event(room_id, event_id))["unsigned"].get("m.relations", {})
    return bundle


def test_who_has_left_and_who_is_elsewhere_have_no_part_in_what_is_bundled(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = await world.user("alice"), await world.user("bob"), await world.user("carol")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        root = await alice.send(room_id, "root")
        await carol.relate(await carol.create(), "m.reference", root)
        assert await _bundle(alice, room_id, root) == {}
        early = await alice.relate(room_id, "m.reference", root)
        await bob.ok("POST", room_path(room_id, "leave"), {})
        late = await alice.relate(room_id, "m.reference", root)
        assert await _bundle(bob, room_id, root) == {"m.reference": {"chunk": [{"event_id": early}]}}
        assert (await _bundle(alice, room_id, root))["m.reference"]["chunk"][1:] == [{"event_id": late}]

    play(database_url, scenario)


def test_edits_references_and_threads_are_bundled_wherever_an_event_is_served(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        root = await alice.send(room_id, "root")
        assert await _bundle(alice, room_id, root) == {}
        await _edit(bob, room_id, root, "not yours")
        await _edit(alice, room_id, root, "first")
        edit = await _edit(alice, room_id, root, "second")
        references = [await bob.relate(room_id, "m.reference", root) for _ in range(2)]
        await bob.relate(room_id, "m.thread", root, body="in thread")
        newest = await bob.relate(room_id, "m.thread", root, body="newest")
        await _edit(bob, room_id, newest, "newest, edited")
        context = room_path(room_id, f"context/{quote(root, safe='')}")
        served = [
            await alice.event(room_id, root),
            (await alice.ok("GET", context))["event"],
            *[event for event in (await alice.messages(room_id, limit=50))["chunk"] if event["event_id"] == root],
            (await alice.ok("GET", threads_path(room_id)))["chunk"][0],
        ]
        assert len(served) == 4
        for event in served:
            bundle = event["unsigned"]["m.relations"]
            assert bundle["m.replace"]["event_id"] == edit
            assert bundle["m.replace"]["content"]["m.new_content"]["body"] == "second"
            assert bundle["m.reference"] == {"chunk": [{"event_id": event_id} for event_id in references]}
            thread = bundle["m.thread"]
            assert (thread["count"], thread["current_user_participated"]) == (2, True)
            assert thread["latest_event"]["event_id"] == newest
            assert thread["latest_event"]["room_id"] == room_id
            inner = thread["latest_event"]["unsigned"]["m.relations"]["m.replace"]
            assert inner["content"]["m.new_content"]["body"] == "newest, edited"
        await alice.ok("PUT", room_path(room_id, f"redact/{quote(edit, safe='')}/1"), {})
        await bob.ok("PUT", room_path(room_id, f"redact/{quote(newest, safe='')}/1"), {})
        bundle = await _bundle(bob, room_id, root)
        assert bundle["m.replace"]["content"]["m.new_content"]["body"] == "first"
        assert (bundle["m.thread"]["count"], bundle["m.thread"]["current_user_participated"]) == (1, True)
        await alice.ok("PUT", room_path(room_id, f"redact/{quote(root, safe='')}/2"), {})
        assert set(await _bundle(bob, room_id, root)) == {"m.reference", "m.thread"}

    play(database_url, scenario)


def test_children_come_in_pages_by_relationship_and_type(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create()
        root = await alice.send(room_id)
        replies = [await alice.relate(room_id, "m.thread", root) for _ in range(5)]
        thumb = await alice.relate(room_id, "m.annotation", root, event_type="m.reaction")
        nested = await alice.relate(room_id, "m.annotation", replies[0], event_type="m.reaction")
        path = relations_path(room_id, root)

        async def ids(rest: str = "", **query: Any) -> list[str]:
            page = await alice.ok("GET", path + rest, **query)
            return [event["event_id"] for event in page["chunk"]]

        newest_first = [thumb, *replies[::-1]]
        assert await ids() == newest_first
        assert await ids(dir="f") == newest_first[::-1]
        assert await ids("/m.thread") == replies[::-1]
        assert await ids("/m.annotation/m.reaction") == [thumb]
        assert await ids("/m.annotation/m.sticker") == []
        assert await ids(recurse="true") == [nested, *newest_first]
        assert await ids("/m.thread", recurse="true") == replies[::-1]
        assert await ids("/m.annotation", recurse="true") == [nested, thumb]
        assert (await alice.ok("GET", path, recurse="false"))["recursion_depth"] == 1
        assert (await alice.ok("GET", path, recurse="true"))["recursion_depth"] >= 3
        old_path = path.replace("/v1/", "/unstable/")
        assert len((await alice.ok("GET", old_path))["chunk"]) == 6
        paged, token = [], None
        for _ in range(4):
            page = await alice.ok("GET", path, limit=2, **({} if token is None else {"from": token}))
            assert page.get("prev_batch") == token
            assert "recursion_depth" not in page
            paged.append([event["event_id"] for event in page["chunk"]])
            token = page.get("next_batch")
            if token is None:
                break
        assert paged == [newest_first[:2], newest_first[2:4], newest_first[4:]]
        assert await bob.refused("GET", path) == NOT_FOUND
        assert await alice.refused("GET", relations_path(room_id, "$none")) == NOT_FOUND
        for query in ({"limit": 0}, {"from": "x"}, {"to": "x"}, {"dir": "x"}, {"recurse": "maybe"}):
            assert await alice.refused("GET", path, **query) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)


def test_threads_are_listed_by_their_newest_event(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        one, two, three = [await alice.send(room_id, name) for name in ("one", "two", "three")]
        bobs = await bob.send(room_id, "bob's")
        for root in (one, two, three, bobs, one):
            await alice.relate(room_id, "m.thread", root)
        await bob.relate(room_id, "m.thread", two)
        path = threads_path(room_id)

        async def roots(user: User, **query: Any) -> list[str]:
            return [event["event_id"] for event in (await user.ok("GET", path, **query))["chunk"]]

        assert await roots(alice) == [two, one, bobs, three]
        assert await roots(bob, include="participated") == [two, bobs]
        first = await bob.ok("GET", path, limit=3)
        assert [event["event_id"] for event in first["chunk"]] == [two, one, bobs]
        second = await bob.ok("GET", path, limit=3, **{"from": first["next_batch"]})
        assert [event["event_id"] for event in second["chunk"]] == [three]
        assert "next_batch" not in second
        assert first["chunk"][1]["unsigned"]["m.relations"]["m.thread"]["current_user_participated"] is False
        assert await carol.refused("GET", path) == (403, "M_FORBIDDEN")
        for query in ({"include": "some"}, {"limit": 0}, {"from": "x"}):
            assert await bob.refused("GET", path, **query) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)


@pytest.mark.parametrize("looked_at", [1, 3, 1_000])
def test_threads_are_the_same_however_many_replies_are_looked_at(
    database_url: str, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(children, "REPLIES_LOOKED_AT", looked_at)

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        roots = [await alice.send(room_id, "root") for _ in range(4)]
        for root in (0, 1, 2, 0, 0, 3, 1, 0):
            await (bob if root == 2 else alice).relate(room_id, "m.thread", roots[root])
        await bob.relate(room_id, "m.reaction", roots[3])

        async def pages(user: User, **query: Any) -> list[int]:
            found: list[int] = []
            token: dict[str, str] = {}
            while True:
                page = await user.ok("GET", threads_path(room_id), limit=1, **query, **token)
                found += [roots.index(event["event_id"]) for event in page["chunk"]]
                if "next_batch" not in page:
                    return found
                token = {"from_": page["next_batch"]}

        assert await pages(alice) == [0, 1, 3, 2]
        assert await pages(bob, include="participated") == [2]
        await bob.set_account_data("m.ignored_user_list", {"ignored_users": {alice.user_id: {}}})
        assert await pages(bob) == [2]

    play(database_url, scenario)


@pytest.mark.parametrize("looked_at", [2, 1_000])
def test_threads_of_all_rooms_come_in_pages_each_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(thread_updates, "REPLIES_LOOKED_AT", looked_at)
    path = f"{V1}/thread_updates"

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rooms = [await alice.create(preset="public_chat") for _ in range(2)]
        for room_id in rooms:
            await bob.join(room_id)
        roots = [await alice.send(rooms[number % 2], f"root {number}") for number in range(4)]
        replies = [await alice.relate(rooms[number % 2], "m.thread", roots[number]) for number in (0, 1, 2, 0, 3, 1)]

        async def pages(user: User, **query: Any) -> list[list[int]]:
            found: list[list[int]] = []
            token: dict[str, str] = {}
            while True:
                page = await user.ok("GET", path, dir="b", limit=2, **query, **token)
                found.append(sorted(roots.index(root) for room in page["chunk"].values() for root in room))
                if "next_batch" not in page:
                    return [one for one in found if one]
                token = {"from_": page["next_batch"]}

        assert await pages(bob) == [[1, 3], [0, 2]]
        newest = (await bob.ok("GET", path, dir="b"))["chunk"][rooms[1]][roots[1]]
        assert newest["thread_root"]["unsigned"]["m.relations"]["m.thread"]["latest_event"]["event_id"] == replies[5]
        older = await bob.ok("GET", relations_path(rooms[1], roots[1]), dir="b", **{"from": newest["prev_batch"]})
        assert [event["event_id"] for event in older["chunk"]] == [replies[1]]
        since = (await bob.ok("GET", room_path(rooms[1], "messages"), dir="b", limit=1))["start"]
        assert await pages(bob, to=since) == []
        await alice.relate(rooms[0], "m.thread", roots[2])
        assert await pages(bob, to=since) == [[2]]
        await bob.ok("POST", room_path(rooms[1], "leave"), {})
        assert await pages(bob) == [[0, 2]]
        for query in ({}, {"dir": "x"}, {"dir": "f"}, {"dir": "b", "limit": 0}, {"dir": "b", "to": "x"}):
            status, errcode = await bob.refused("GET", path, **query)
            assert (status, errcode) == (400, "M_INVALID_PARAM" if query else "M_MISSING_PARAM")

    play(database_url, scenario)
