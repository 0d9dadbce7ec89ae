"""What single rooms and lists tell: windows, order, timelines that grow, state that is asked for, invites, leaves."""

from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import ForgetRoom
from hs_common.replication.ephemeral import Typing, encode_message
from hs_common.storage.migrate import known_migrations
from hs_workers.sync.sliding import planning
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.sliding.client import ask, ask_unstable, everything
from tests.workers.sync.world import ALICE, BOB, CAROL, Body, World

CREATE = {"include": [{"type": "m.room.create", "state_key": ""}]}


def window(end: int, limit: int = 1, state: Any = CREATE, **more: Any) -> Body:
    return {"lists": {"main": {"range": [0, end], "timeline_limit": limit, "required_state": state, **more}}}


async def started(w: World) -> Live:
    live = Live(w)
    live.start()
    return live


def texts(room: Body) -> list[str]:
    return [event["content"].get("body", event["type"]) for event in room.get("timeline", ())]


def types(room: Body) -> list[str]:
    return sorted(event["type"] for event in room["required_state"])


def test_windows_are_ordered_by_activity_and_send_each_room_once(play: Play) -> None:
    async def scenario(w: World) -> None:
        rooms = [await w.m.create_room(ALICE) for _ in range(4)]
        await w.m.send(rooms[1], ALICE, "newest")
        live = await started(w)
        first = await ask(live, ALICE, window(1))
        assert first["lists"] == {"main": {"count": 4}}
        assert list(first["rooms"]) == [rooms[1], rooms[3]]
        assert first["rooms"][rooms[1]]["initial"] is True
        assert first["rooms"][rooms[1]]["lists"] == ["main"]
        assert first["rooms"][rooms[1]]["membership"] == "join"
        assert texts(first["rooms"][rooms[1]]) == ["newest"]
        assert first["rooms"][rooms[1]]["limited"] is True
        grown = await ask(live, ALICE, {**window(2), "pos": first["pos"]})
        assert list(grown["rooms"]) == [rooms[2]]
        again = await ask(live, ALICE, {**window(2), "pos": first["pos"]})
        assert (again["pos"], list(again["rooms"])) == (grown["pos"], [rooms[2]])
        await w.m.send(rooms[0], ALICE, "from below")
        live.follow()
        moved = await ask(live, ALICE, {**window(2), "pos": grown["pos"]})
        assert list(moved["rooms"]) == [rooms[0]]
        assert moved["rooms"][rooms[0]]["initial"] is True
        assert moved["rooms"][rooms[0]]["num_live"] == 1

    play(scenario)


def test_more_rooms_than_fit_come_with_the_next_answers(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAXIMUM_INITIAL", 2)

    async def scenario(w: World) -> None:
        rooms = [await w.m.create_room(ALICE) for _ in range(5)]
        live = await started(w)
        body = everything()
        found, answer = [], await ask(live, ALICE, body)
        while answer["rooms"]:
            assert answer["lists"]["all"]["count"] == 5
            found += list(answer["rooms"])
            answer = await ask(live, ALICE, {**body, "pos": answer["pos"]})
        assert found == rooms[::-1]
        await w.m.send(rooms[0], ALICE, "text")
        assert list((await ask(live, ALICE, {**body, "pos": answer["pos"]}))["rooms"]) == [rooms[0]]

    play(scenario)


def test_a_room_out_of_sight_is_caught_up_when_it_comes_back(play: Play) -> None:
    async def scenario(w: World) -> None:
        one, other = [await w.m.create_room(ALICE) for _ in range(2)]
        live = await started(w)
        first = await ask(live, ALICE, window(1, 5))
        only = await ask(live, ALICE, {**window(0, 5), "pos": first["pos"]})
        assert only["rooms"] == {}
        await w.m.send(one, ALICE, "a")
        await w.m.send(other, ALICE, "b")
        live.follow()
        without = await ask(live, ALICE, {**window(0, 5), "pos": only["pos"]})
        assert list(without["rooms"]) == [other]
        both = await ask(live, ALICE, {**window(1, 5), "pos": without["pos"]})
        assert texts(both["rooms"][one]) == ["a"]
        assert "initial" not in both["rooms"][one]
        assert both["rooms"][one]["num_live"] == 0

    play(scenario)


def test_a_larger_limit_sends_more_of_the_timeline_at_once(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        for text in "abcd":
            await w.m.send(room, ALICE, text)
        live = await started(w)
        first = await ask(live, ALICE, window(0, 1))
        body = {**window(0, 1), "room_subscriptions": {room: {"timeline_limit": 3, "required_state": CREATE}}}
        more = await ask(live, ALICE, {**body, "pos": first["pos"]})
        told = more["rooms"][room]
        assert texts(told) == ["b", "c", "d"]
        assert (told["expanded_timeline"], told["limited"], told["num_live"]) == (True, True, 0)
        assert "initial" not in told
        nothing = await ask(live, ALICE, {**window(0, 1), "pos": more["pos"]})
        assert nothing["rooms"] == {}
        await w.m.send(room, ALICE, "e")
        again = await ask(live, ALICE, {**body, "pos": nothing["pos"]})
        assert texts(again["rooms"][room]) == ["e"]

    play(scenario)


def test_state_is_told_as_asked_and_more_of_it_when_more_is_asked(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.event(room, ALICE, "m.room.name", {"name": "Name"}, state_key="")
        await w.m.event(room, ALICE, "org.example", {"a": 1}, state_key="x")
        await w.m.send(room, BOB, "hello")
        live = await started(w)
        first = await ask(live, ALICE, window(0))
        told = first["rooms"][room]
        assert types(told) == ["m.room.create"]
        assert (told["name"], told["joined_count"], told["invited_count"]) == ("Name", 2, 0)
        assert "heroes" not in told
        lazy = window(0, 1, {"include": [{}], "exclude": [{"type": "m.room.create"}], "lazy_members": True})
        more = (await ask(live, ALICE, {**lazy, "pos": first["pos"]}))["rooms"][room]
        assert "m.room.create" not in types(more)
        assert {"org.example", "m.room.power_levels"} <= set(types(more))
        members = [event["state_key"] for event in more["required_state"] if event["type"] == "m.room.member"]
        assert members == []  # the timeline was told before, with nobody asking for members
        fresh = (await ask(live, ALICE, lazy))["rooms"][room]
        members = [event["state_key"] for event in fresh["required_state"] if event["type"] == "m.room.member"]
        assert members == [BOB]

    play(scenario)


def test_names_and_heroes_come_and_go(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join", displayname="Bob", avatar_url="mxc://test/b")
        live = await started(w)
        first = await ask(live, ALICE, window(0))
        assert first["rooms"][room]["heroes"] == [{"user_id": BOB, "displayname": "Bob", "avatar_url": "mxc://test/b"}]
        await w.m.event(room, ALICE, "m.room.name", {"name": "Name"}, state_key="")
        named = await ask(live, ALICE, {**window(0), "pos": first["pos"]})
        assert named["rooms"][room]["name"] == "Name"
        assert "heroes" not in named["rooms"][room]
        await w.m.event(room, ALICE, "m.room.name", {}, state_key="")
        await w.m.send(room, ALICE, "text")
        nameless = await ask(live, ALICE, {**window(0), "pos": named["pos"]})
        assert nameless["rooms"][room]["name"] is None
        assert nameless["rooms"][room]["heroes"]

    play(scenario)


def test_invites_are_stripped_and_end_when_they_are_taken_back(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.event(room, ALICE, "m.room.name", {"name": "Secret"}, state_key="")
        await w.m.member(room, ALICE, "invite", BOB)
        live = await started(w)
        first = await ask(live, BOB, window(0, filters={"is_invited": True}))
        told = first["rooms"][room]
        assert (told["membership"], told["initial"]) == ("invite", True)
        assert {"m.room.create", "m.room.member"} <= {event["type"] for event in told["stripped_state"]}
        assert not {"timeline", "required_state", "name", "joined_count"} & told.keys()
        lists = {"a": {"ranges": [[0, 9]], "filters": {"is_invite": True}}}
        old = await ask_unstable(live, BOB, {"conn_id": "old", "lists": lists})
        assert "invite_state" in old["rooms"][room]
        assert "stripped_state" not in old["rooms"][room]
        await w.m.member(room, ALICE, "leave", BOB)
        gone = await ask(live, BOB, {**window(0), "pos": first["pos"]})
        assert gone["rooms"][room]["membership"] == "leave"
        assert "timeline" not in gone["rooms"][room]
        anew = await ask(live, BOB, window(9))
        assert anew["rooms"] == {}

    play(scenario)


def test_who_was_put_out_sees_that_and_nothing_after(play: Play) -> None:
    async def scenario(w: World) -> None:
        room, other = [await w.m.create_room(ALICE) for _ in range(2)]
        for one in (room, other):
            await w.m.member(one, BOB, "join")
        live = await started(w)
        first = await ask(live, BOB, window(5, 5))
        await w.m.member(room, ALICE, "ban", BOB)
        await w.m.member(other, BOB, "leave")
        await w.m.send(room, ALICE, "secret")
        await w.m.send(other, ALICE, "secret")
        out = await ask(live, BOB, {**window(5, 5), "pos": first["pos"]})
        assert {one: told["membership"] for one, told in out["rooms"].items()} == {room: "ban", other: "leave"}
        assert all(texts(told) == ["m.room.member"] for told in out["rooms"].values())
        quiet = await ask(live, BOB, {**window(5, 5), "pos": out["pos"]})
        assert quiet["rooms"] == {}
        anew = await ask(live, BOB, window(5, 5))
        assert list(anew["rooms"]) == [room]
        assert "secret" not in texts(anew["rooms"][room])
        subscribed = await ask(live, CAROL, {"room_subscriptions": {room: {"timeline_limit": 5}}})
        assert subscribed["rooms"] == {}
        both = {"room_subscriptions": {one: {"timeline_limit": 5} for one in (room, other)}}
        assert (await ask(live, BOB, both))["rooms"].keys() == {room, other}
        for one in (room, other):
            await w.m.call(ForgetRoom(user_id=BOB, room_id=one))
        assert (await ask(live, BOB, both))["rooms"] == {}
        assert (await ask(live, BOB, {**window(5, 5), "conn_id": "another"}))["rooms"] == {}

    play(scenario)


def test_filters(play: Play) -> None:
    async def scenario(w: World) -> None:
        plain, direct, secret = [await w.m.create_room(ALICE) for _ in range(3)]
        space = await w.m.create_room(ALICE, creation={"type": "m.space"})
        await w.m.event(secret, ALICE, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, state_key="")
        await w.m.event(space, ALICE, "m.space.child", {"via": ["test"]}, state_key=plain)
        await w.m.event(space, ALICE, "m.space.child", {}, state_key=direct)
        await w.set_data(ALICE, "m.direct", {BOB: [direct]})
        await w.set_data(ALICE, "m.tag", {"tags": {"m.favourite": {}}}, plain)
        live = await started(w)
        expected: dict[str, tuple[Body, set[str]]] = {
            "direct": ({"is_dm": True}, {direct}),
            "others": ({"is_dm": False}, {plain, secret, space}),
            "encrypted": ({"is_encrypted": True}, {secret}),
            "spaces": ({"room_types": ["m.space"]}, {space}),
            "no-spaces": ({"not_room_types": ["m.space"]}, {plain, direct, secret}),
            "untyped": ({"room_types": [None]}, {plain, direct, secret}),
            "in-space": ({"spaces": [space]}, {plain}),
            "favourites": ({"tags": ["m.favourite"]}, {plain}),
            "not-favourites": ({"not_tags": ["m.favourite"]}, {direct, secret, space}),
            "invited": ({"is_invited": True}, set()),
        }
        lists = {name: {"timeline_limit": 0, "filters": one} for name, (one, _) in expected.items()}
        for _ in range(2):  # the second time from memory
            answer = await ask(live, ALICE, {"lists": lists})
            found: dict[str, set[str]] = {name: set() for name in expected}
            for room_id, told in answer["rooms"].items():
                for name in told["lists"]:
                    found[name].add(room_id)
            assert found == {name: rooms for name, (_, rooms) in expected.items()}
            assert answer["rooms"][direct]["is_dm"] is True
            live.follow()
        await w.m.event(plain, ALICE, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}, state_key="")
        live.follow()
        answer = await ask(live, ALICE, {"lists": {"e": lists["encrypted"]}})
        assert set(answer["rooms"]) == {secret, plain}

    play(scenario)


def test_rooms_from_before_their_types_were_kept(play: Play) -> None:
    async def scenario(w: World) -> None:
        plain, space = await w.m.create_room(ALICE), await w.m.create_room(ALICE, creation={"type": "m.space"})
        odd = await w.m.create_room(ALICE, creation={"type": 7})

        async def found() -> list[set[str]]:
            live = await started(w)
            wanted = ({"room_types": ["m.space"]}, {"not_room_types": ["m.space"]})
            lists = {str(number): {"timeline_limit": 0, "filters": one} for number, one in enumerate(wanted)}
            rooms = (await ask(live, ALICE, {"lists": lists}))["rooms"]
            return [{room for room, told in rooms.items() if name in told["lists"]} for name in lists]

        kept = "SELECT room_id, room_type FROM rooms"
        written = {plain: "", space: "m.space", odd: ""}
        assert dict(await w.m.db.fetch(kept)) == written
        assert await found() == [{space}, {plain, odd}]
        await w.m.db.execute("UPDATE rooms SET room_type = NULL")
        assert await found() == [{space}, {plain, odd}]
        migration = next(one for one in known_migrations() if one.name.endswith("_room_types.sql"))
        await w.m.db.execute(migration.sql.partition(";")[2])
        assert dict(await w.m.db.fetch(kept)) == written

    play(scenario)


def test_a_position_is_known_to_its_connection_alone(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(ALICE)
        live = await started(w)
        first = await ask(live, ALICE, window(0))
        pos = first["pos"]
        for user, device, body in (
            (ALICE, "OTHER", {"pos": pos}),
            (BOB, "DEVICE", {"pos": pos}),
            (ALICE, "DEVICE", {"pos": pos, "conn_id": "other"}),
            (ALICE, "DEVICE", {"pos": "nonsense"}),
            (ALICE, "DEVICE", {"pos": "c9999999999999_0_" + pos.rpartition("_")[2]}),
        ):
            with pytest.raises(MatrixError, match="M_UNKNOWN_POS"):
                await ask(live, user, {**window(0), **body}, device)
        await ask(live, ALICE, {**window(0), "pos": pos})
        await ask(live, ALICE, window(0))
        another = Live(w)
        another.start()
        # The connection began anew with the same contents: its token is as good as the old one.
        await ask(another, ALICE, {**window(0), "pos": pos})
        await w.m.db.execute("DELETE FROM sliding_connections")
        third = Live(w)
        third.start()
        with pytest.raises(MatrixError, match="M_UNKNOWN_POS"):
            await ask(third, ALICE, {**window(0), "pos": pos})

    play(scenario)


def test_connections_of_devices_that_are_gone_are_swept(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(ALICE)
        await w.m.db.execute("INSERT INTO devices VALUES (%s, 'DEVICE', NULL, 0, 0)", (BOB,))
        live = await started(w)
        await ask(live, ALICE, window(0))
        await ask(live, BOB, window(0))
        for number in range(20):
            await ask(live, BOB, {**window(0), "conn_id": str(number)})
        live.clock.advance(4_000)
        await ask(live, BOB, window(0))
        rows = await w.m.db.fetch("SELECT user_id, count(*) FROM sliding_connections GROUP BY user_id")
        assert rows == [(BOB, 16)]

    play(scenario)


def test_who_types_is_told_of_rooms_in_sight(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = await started(w)
        body = {**window(0), "extensions": {"typing": {"enabled": True}}}
        live.hear(encode_message(Typing(room, (BOB,))))
        first = await ask(live, ALICE, body)
        assert first["extensions"]["typing"]["rooms"][room]["content"] == {"user_ids": [BOB]}
        quiet = await ask(live, ALICE, {**body, "pos": first["pos"]})
        assert "typing" not in quiet["extensions"]
        live.hear(encode_message(Typing(room, ())))
        stopped = await ask(live, ALICE, {**body, "pos": quiet["pos"]})
        assert stopped["extensions"]["typing"]["rooms"][room]["content"] == {"user_ids": []}

    play(scenario)


def test_account_data_and_receipts_of_rooms_in_scope(play: Play) -> None:
    async def scenario(w: World) -> None:
        room, other = [await w.m.create_room(ALICE) for _ in range(2)]
        event = await w.m.send(room, ALICE, "text")
        await w.set_data(ALICE, "m.tag", {"tags": {"a": {}}}, room)
        await w.set_data(ALICE, "m.tag", {"tags": {"b": {}}}, other)
        await w.read(ALICE, room, event, "m.read.private")
        live = await started(w)
        body = everything(range=[0, 0])
        first = await ask(live, ALICE, body)
        extensions = first["extensions"]
        assert list(extensions["account_data"]["rooms"]) == [room]
        assert "m.push_rules" in {one["type"] for one in extensions["account_data"]["global"]}
        assert extensions["receipts"]["rooms"][room]["content"][event]["m.read.private"].keys() == {ALICE}
        nothing = await ask(live, ALICE, {**body, "pos": first["pos"]})
        assert nothing["extensions"] == {}
        await w.set_data(ALICE, "m.tag", {"tags": {"c": {}}}, room)
        await w.set_data(ALICE, "org.example", {"v": 1})
        changed = await ask(live, ALICE, {**body, "pos": nothing["pos"]})
        told = changed["extensions"]["account_data"]
        assert told["global"] == [{"type": "org.example", "content": {"v": 1}}]
        assert told["rooms"] == {room: [{"type": "m.tag", "content": {"tags": {"c": {}}}}]}

    play(scenario)


def test_the_older_form_has_its_own_words(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.send(room, BOB, "hello")
        live = await started(w)
        state = [["m.room.member", "$ME"], ["m.room.member", "$LAZY"], ["m.room.create", ""]]
        body = {"lists": {"a": {"ranges": [[0, 0]], "timeline_limit": 1, "required_state": state}}}
        first = await ask_unstable(live, ALICE, body)
        told = first["rooms"][room]
        members = {event["state_key"] for event in told["required_state"] if event["type"] == "m.room.member"}
        assert members == {ALICE, BOB}
        assert (told["notification_count"], told["highlight_count"]) == (1, 0)
        assert not {"membership", "lists"} & told.keys()
        await w.read(ALICE, room, told["timeline"][0]["event_id"])
        read = await ask_unstable(live, ALICE, body, first["pos"])
        assert read["rooms"][room]["notification_count"] == 0
        body["lists"]["a"]["timeline_limit"] = 2
        grown = await ask_unstable(live, ALICE, body, read["pos"])
        assert grown["rooms"][room]["unstable_expanded_timeline"] is True

    play(scenario)
