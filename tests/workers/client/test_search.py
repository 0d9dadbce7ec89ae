"""Searching: whose events, by which words, in which order, page by page."""

from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.reading.room_view import Reader, RoomViews
from hs_common.storage import room_views
from hs_common.storage import search as search_words
from hs_workers.client.room import searching
from hs_workers.client.room.search_matches import Matches
from hs_workers.client.room.search_scope import Place, parse_place, positive, scope
from tests.workers.client.room_world import Json, RoomWorld, User, play, room_path
from tests.workers.client.test_room_upgrades import upgrade


async def search(user: User, term: str, next_batch: str | None = None, **criteria: Any) -> Json:
    body = {"search_categories": {"room_events": {"search_term": term, **criteria}}}
    query = {} if next_batch is None else {"next_batch": next_batch}
    answer = await user.ok("POST", "/search", body, **query)
    events: Json = answer["search_categories"]["room_events"]
    return events


def ids(found: Json) -> list[str]:
    return [one["result"]["event_id"] for one in found["results"]]


async def find(user: User, term: str, **criteria: Any) -> list[str]:
    return ids(await search(user, term, order_by="recent", **criteria))


def test_words_are_found_by_those_who_may_read_them(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat", name="Martian lounge", topic="Tea on Mars")
        await bob.join(room_id)
        first = await alice.send(room_id, "The martians are landing")
        second = await bob.send(room_id, "I like men from Mars, and a Martian or two")
        assert await find(alice, "martian", keys=["content.body"]) == [second, first]
        assert await find(bob, '"men from mars"') == [second]
        assert await find(bob, "martian -landing", keys=["content.body"]) == [first]  # nothing can be excluded
        assert await find(alice, "the") == [first]  # no word is too common
        assert await find(carol, "martian") == []
        assert len(await find(alice, "mars", keys=["content.topic"])) == 1
        assert len(await find(alice, "lounge", keys=["content.name"])) == 1
        for nothing in ("", "   ", "!?&|:*'\\", "unheard"):
            assert (await search(alice, nothing))["count"] == 0
        found = await search(alice, "martians", order_by="rank")
        assert found["count"] == 3
        assert found["highlights"] == ["martian", "martians"]
        ranks = [one["rank"] for one in found["results"]]
        assert ranks == sorted(ranks, reverse=True)
        assert found["results"][0]["result"]["room_id"] == room_id

    play(database_url, scenario)


def test_not_even_how_much_was_said_is_told_to_strangers(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, carol = await world.user("alice"), await world.user("carol")
        room_id = await alice.create(preset="private_chat")
        await alice.send(room_id, "the secret word")
        stolen = str(Place(0, 2**62, (("room_id", room_id),)))
        assert (await search(alice, "secret", filter={"rooms": [room_id]}))["count"] == 1
        assert (await search(alice, "secret", stolen))["count"] == 1
        assert (await search(carol, "secret", filter={"rooms": [room_id]}))["count"] == 0
        assert (await search(carol, "secret", stolen))["count"] == 0
        assert (await search(alice, "secret", str(Place(2**31 - 1, 2**62))))["results"] == []

    play(database_url, scenario)


def test_what_is_hidden_is_not_counted_however_little_is_asked_for(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        hidden, whole = await alice.create(preset="public_chat"), await alice.create(preset="public_chat")
        await alice.set_state(hidden, "m.room.history_visibility", {"history_visibility": "joined"})
        for room_id in (hidden, hidden, whole, whole):
            await alice.send(room_id, "wombat, before he came")
        for room_id in (hidden, whole):
            await bob.join(room_id)
            await carol.join(room_id)
        await carol.send(hidden, "wombat")
        await carol.send(whole, "wombat")
        for limit in (1, 2, 10):
            criteria: Json = {"order_by": "recent", "filter": {"limit": limit}}
            assert (await search(alice, "wombat", **criteria))["count"] == 6
            first = await search(bob, "wombat", **criteria)
            assert first["count"] == 4
            if limit < 4:
                assert (await search(bob, "wombat", first["next_batch"], **criteria))["count"] == 4
            assert (await search(bob, "wombat", order_by="rank", filter={"limit": limit}))["count"] == 4
        await bob.set_account_data("m.ignored_user_list", {"ignored_users": {carol.user_id: {}}})
        assert (await search(bob, "wombat", order_by="recent", filter={"limit": 1}))["count"] == 2
        await bob.ok("POST", room_path(whole, "leave"), {})
        await alice.send(whole, "wombat, after he left")
        assert (await search(bob, "wombat", order_by="recent", filter={"limit": 1}))["count"] == 2

    play(database_url, scenario)


def test_the_database_and_a_view_agree_where_everything_may_be_seen(database_url: str) -> None:
    """Of the rooms where they do not, the view is asked; none is taken for open that is not."""
    settings: tuple[Any, ...] = (
        "shared",
        "world_readable",
        "joined",
        "invited",
        "else",
        7,
        None,
        "nul",
        {"a": "shared"},
    )

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        views, reader = RoomViews(world.db), Reader(bob.user_id)
        rooms = [await alice.create(preset="public_chat") for _ in settings] + [
            await alice.create(preset="public_chat")
        ]
        seen = {"content": {"history_visibility": "shared"}, "depth": 1}
        for number, (room_id, visibility) in enumerate(zip(rooms, settings, strict=False)):
            content = {"history_visibility": visibility, **({"x": [seen], "content": seen} if number > 1 else {})}
            await alice.set_state(room_id, "m.room.history_visibility", content)
        await alice.set_state(rooms[0], "m.room.history_visibility", {"history_visibility": "world_readable"})
        await alice.set_state(rooms[2], "m.room.history_visibility", {"history_visibility": "shared"})
        # Other servers' events may have it.
        await world.db.execute("""UPDATE events SET json = replace(json, '"nul"', '"\\u0000"')""")
        for room_id in rooms:
            await alice.send(room_id, "wombat")
            await bob.join(room_id)
        await bob.ok("POST", room_path(rooms[-1], "leave"), {})
        told = await _whole(world, bob.user_id)
        found = await views.views(rooms, reader)
        assert {room_id for room_id in rooms if told[room_id]} == set(rooms[:2])
        assert all(found[room_id].is_whole for room_id in rooms if told[room_id])
        assert not any(told[room_id] for room_id in rooms if not found[room_id].is_whole)
        await world.db.execute("UPDATE users SET erased = true WHERE user_id = %s", (alice.user_id,))
        assert not any((await _whole(world, bob.user_id)).values())

    play(database_url, scenario)


async def _whole(world: RoomWorld, user_id: str) -> dict[str, bool]:
    rows = await _rows(world, user_id, by_rank=True, first=0, told=100)
    return {room_id: is_whole for _, room_id, _, is_whole, *_ in rows}


def test_a_page_is_a_part_of_all_matches_and_the_rest_is_counted(database_url: str) -> None:
    """Against the function that tells every match."""

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rooms = [await alice.create(preset="public_chat") for _ in range(3)]
        await alice.set_state(rooms[1], "m.room.history_visibility", {"history_visibility": "joined"})
        for room_id in rooms:
            await bob.join(room_id)
        for number in range(6):
            await (alice, bob)[number % 2].send(rooms[number % 3], "wombat " * (number % 4 + 1))
        await bob.ok("POST", room_path(rooms[2], "leave"), {})
        for user in (alice, bob):
            for by_rank in (False, True):
                every = await world.db.fetch(
                    "SELECT event, room, author, is_whole, head FROM search_matches(websearch_to_tsquery('wombat'),"
                    " websearch_to_tsquery('wombat'), %s, NULL, '{}', '{0}', NULL, %s, 100)",
                    (user.user_id, by_rank),
                )
                assert len(every) == 6
                for first in range(8):
                    for told in (1, 3, 10):
                        _expect_page(every, await _rows(world, user.user_id, by_rank, first, told), first, told)

    play(database_url, scenario)


def _expect_page(every: list[Any], rows: list[Any], first: int, told: int) -> None:
    matches = Matches(rows, first, told)
    assert [match[:4] for match in matches.page] == [row[:4] for row in every[first : first + told]]
    assert matches.head == every[0][4]
    assert matches.total == len(every)
    end = min(first + max(told - 1, 1), len(every))  # of the page not all was looked at
    left = every[:first] + every[end:]
    others = matches.others(first, end)
    assert [match[:4] for match in others.doubtful] == [row[:4] for row in left if not row[3]]
    assert others.plain == Counter(row[2] for row in left if row[3])
    assert (others.room_id is None) == (not others.plain)
    assert others.room_id in {None, *(row[1] for row in left if row[3])}


async def _rows(world: RoomWorld, user_id: str, by_rank: bool, first: int, told: int) -> list[Any]:
    return await search_words.matches(
        world.db,
        "wombat",
        scope="",
        user_id=user_id,
        room_ids=None,
        unwanted_rooms=[],
        keys=[0],
        upto=None,
        limit=100,
        by_rank=by_rank,
        first=first,
        told=told,
    )


def test_a_view_of_many_rooms_has_of_each_what_is_its_own(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rooms = sorted([await alice.create(preset="public_chat") for _ in range(5)])
        for room_id in rooms[1:4]:
            await bob.join(room_id)
        await bob.ok("POST", room_path(rooms[2], "leave"), {})
        await bob.ok("POST", room_path(rooms[3], "leave"), {})
        await bob.ok("POST", room_path(rooms[3], "forget"), {})
        await bob.join(rooms[2])
        views = await RoomViews(world.db).views([*rooms, *rooms, "!unknown"], Reader(bob.user_id))
        told = [(views[room_id].membership, views[room_id].forgotten) for room_id in rooms]
        assert told == [(None, False), ("join", False), ("join", False), ("leave", True), (None, False)]
        for reader in (bob, alice):
            rows = await room_views.room_views(world.db, [*rooms, *rooms, "!unknown"], reader.user_id)
            members = await world.db.fetch(
                "SELECT room_id, 'member', membership, from_pos, to_pos FROM state"
                " WHERE type = 'm.room.member' AND state_key = %s",
                (reader.user_id,),
            )
            assert sorted(row for row in rows if row[1] == "member") == sorted(members)
            assert sorted(row[0] for row in rows if row[1] == "visibility") == rooms

    play(database_url, scenario)


def test_somebody_in_many_rooms_finds_the_same(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms that are too many to be named are looked up for what was found."""

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rooms = [await alice.create(preset="public_chat") for _ in range(4)]
        for room_id in rooms[:3]:
            await bob.join(room_id)
        said = [await alice.send(room_id, "word") for room_id in rooms]
        await bob.ok("POST", room_path(rooms[0], "leave"), {})
        await bob.ok("POST", room_path(rooms[0], "forget"), {})
        await bob.ok("POST", room_path(rooms[1], "leave"), {})
        await alice.set_state(rooms[2], "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        few = [await find(user, "word", **more) for user, more in _askers(alice, bob, rooms)]
        monkeypatch.setattr(searching, "MAXIMUM_NAMED", 1)
        assert [await find(user, "word", **more) for user, more in _askers(alice, bob, rooms)] == few
        assert few == [[said[3], said[1], said[0]], [said[1]], [said[1], said[0]]]

    play(database_url, scenario)


def _askers(alice: User, bob: User, rooms: list[str]) -> list[tuple[User, Json]]:
    return [(alice, {}), (bob, {}), (alice, {"filter": {"not_rooms": [rooms[3]]}})]


def test_what_was_redacted_ignored_encrypted_or_said_later_is_not_found(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        early = await alice.send(room_id, "apple early")
        gone = await alice.send(room_id, "apple gone")
        own = await bob.send(room_id, "apple own")
        await alice.ok("PUT", room_path(room_id, f"redact/{quote(gone, safe='')}/1"), {})
        assert await find(alice, "apple") == [own, early]
        assert await world.db.fetch("SELECT 1 FROM search WHERE event_id = %s", [gone]) == []
        await bob.ok("POST", room_path(room_id, "leave"), {})
        await alice.send(room_id, "apple later")
        assert await find(bob, "apple") == [own, early]
        assert (await search(bob, "apple"))["count"] == 2
        await bob.set_account_data("m.ignored_user_list", {"ignored_users": {alice.user_id: {}}})
        assert await find(bob, "apple") == [own]
        await bob.ok("POST", room_path(room_id, "forget"), {})
        assert await find(bob, "apple") == []
        await alice.set_state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        assert await find(alice, "apple") == []

    play(database_url, scenario)


def test_filters_choose_rooms_senders_and_links(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        one, two = await alice.create(preset="public_chat"), await alice.create(preset="public_chat")
        await bob.join(one)
        mine, other = await alice.send(one, "pear"), await alice.send(two, "pear")
        his = await bob.send(one, "pear", url="mxc://x/y")
        assert await find(alice, "pear", filter={"rooms": [one]}) == [his, mine]
        assert await find(alice, "pear", filter={"not_rooms": [one]}) == [other]
        assert await find(alice, "pear", filter={"senders": [bob.user_id]}) == [his]
        assert await find(alice, "pear", filter={"senders": []}) == []
        assert await find(alice, "pear", filter={"not_senders": [bob.user_id]}) == [other, mine]
        assert await find(alice, "pear", filter={"contains_url": True}) == [his]
        assert await find(alice, "pear", filter={"types": ["m.room.name"]}) == []
        assert await find(alice, "pear", filter={"limit": 1}) == [his]
        assert await find(bob, "pear", filter={"rooms": [two]}) == []
        readable = {"history_visibility": "world_readable"}
        await alice.set_state(two, "m.room.history_visibility", readable)
        late = await alice.send(two, "pear")
        assert await find(bob, "pear", filter={"rooms": [two]}) == [late]
        new = await upgrade(alice, one)
        assert await find(alice, "pear", filter={"rooms": [new]}) == [his, mine]

    play(database_url, scenario)


def test_pages_and_groups_go_on_where_they_ended(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "LEAST_LOOKED_AT", 2)

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        one, two = await alice.create(preset="public_chat"), await alice.create(preset="public_chat")
        await bob.join(one)
        sent = []
        for number in range(4):
            sent.append(await alice.send(one, f"plum {number}"))
            sent.append(await (alice if number else bob).send(two if number else one, f"plum {number}"))
        by = {"group_by": [{"key": "room_id"}, {"key": "sender"}]}
        criteria: Json = {"order_by": "recent", "filter": {"limit": 3}, "groupings": by}
        first = await search(alice, "plum", **criteria)
        await alice.send(one, "plum, said after the search began")
        second = await search(alice, "plum", first["next_batch"], **criteria)
        third = await search(alice, "plum", second["next_batch"], **criteria)
        assert ids(first) + ids(second) + ids(third) == sent[::-1]
        assert (first["count"], "next_batch" in third) == (8, False)
        group = first["groups"]["room_id"][one]
        assert (group["results"], group["order"]) == ([sent[6]], 2)
        more = await search(alice, "plum", group["next_batch"], **criteria)
        assert ids(more) == [sent[4], sent[2], sent[1]]
        assert set(more["groups"]["room_id"]) == {one}
        of_bob = await search(alice, "plum", second["groups"]["sender"][alice.user_id]["next_batch"], **criteria)
        assert ids(of_bob) == [sent[0]]
        assert "next_batch" not in first["groups"]["room_id"].get("nothing", {})

    play(database_url, scenario)


def test_surroundings_profiles_and_state_come_with_results(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice", profile={"displayname": "Alice"})
        room_id = await alice.create()
        sent = [await alice.send(room_id, text) for text in ("one", "two", "cherry", "three", "four")]
        context = {"before_limit": 1, "after_limit": 1, "include_profile": True}
        found = await search(alice, "cherry", event_context=context, include_state=True)
        around = found["results"][0]["context"]
        assert [event["event_id"] for event in around["events_before"]] == [sent[1]]
        assert [event["event_id"] for event in around["events_after"]] == [sent[3]]
        assert around["profile_info"] == {alice.user_id: {"displayname": "Alice"}}
        earlier = await alice.messages(room_id, from_=around["start"], limit=1)
        assert earlier["chunk"][0]["event_id"] == sent[0]
        assert {event["type"] for event in found["state"][room_id]} >= {"m.room.create", "m.room.member"}
        monkeypatch.setattr(searching, "MAXIMUM_STATE", 3)
        large = (await search(alice, "cherry", include_state=True))["state"][room_id]
        assert [event["state_key"] for event in large if event["type"] == "m.room.member"] == [alice.user_id]
        assert "m.room.create" in {event["type"] for event in large}
        bare = {"before_limit": 0, "after_limit": 0}
        alone = (await search(alice, "cherry", event_context=bare))["results"][0]["context"]
        assert (alone["events_before"], alone["events_after"], "profile_info" in alone) == ([], [], False)

    play(database_url, scenario)


def test_bad_input_is_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        for criteria in (
            {"order_by": "x"},
            {"keys": ["x"]},
            {"groupings": {"group_by": [{"key": "x"}]}},
            {"search_term": "x" * 501},
            {"search_term": 7},
            {"filter": {"rooms": 7}},
            {"event_context": {"before_limit": -1}},
        ):
            body = {"search_categories": {"room_events": {"search_term": "x", **criteria}}}
            assert (await alice.refused("POST", "/search", body))[0] == 400, criteria
        assert (await alice.refused("POST", "/search", {}))[0] == 400
        assert await alice.ok("POST", "/search", {"search_categories": {}}) == {"search_categories": {}}
        body = {"search_categories": {"room_events": {"search_term": "x"}}}
        for token in ("x", "e30", str(Place(-1, 1)), str(Place(1, None)), str(Place(1, 2, (("x", "y"),)))):
            assert (await alice.refused("POST", "/search", body, next_batch=token))[0] == 400, token

    play(database_url, scenario)


def test_places_survive_being_tokens() -> None:
    place = Place(3, 7).within("room_id", "!a:x", 2).within("room_id", "!a:x", 4).within("sender", "@b:x", 1)
    assert parse_place(str(place)) == place
    assert place.groups == (("room_id", "!a:x"), ("sender", "@b:x"))
    with pytest.raises(MatrixError):
        parse_place(str(place)[:-4])


def test_scope_quotes_names() -> None:
    assert scope(["!a:x"], None, []) == "('!a:x')"
    assert scope(["!a'\\:x", "!b:x"], ["@c:x"], ["@d:x"]) == "('!a''\\\\:x' | '!b:x') & ('@c:x') & !'@d:x'"
    assert scope([str(number) for number in range(1000)], None, []) == ""
    assert positive("-a b-c --d\0") == "a b-c d "
