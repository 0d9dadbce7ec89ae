"""Which rooms stand in which section of an answer: joined, invited, knocked upon, left."""

from hs_common.replication.calls import ForgetRoom, NewRoomEvent
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, CAROL, World, bodies, joined, types

ARCHIVED = {"room": {"include_leave": True}}


def test_an_invite_comes_with_stripped_state_and_goes_with_the_join(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(BOB))["next_batch"]
        await w.m.member(room, ALICE, "invite", BOB)
        for body in (await w.sync(BOB), await w.sync(BOB, since)):
            stripped = body["rooms"]["invite"][room]["invite_state"]["events"]
            assert types(stripped)[0] == ("m.room.create", "")
            assert ("m.room.member", BOB) in types(stripped)
            assert set(stripped[0]) == {"type", "state_key", "sender", "content"}
        invited = (await w.sync(BOB, since))["next_batch"]
        assert "rooms" not in await w.sync(BOB, invited)
        await w.m.member(room, BOB, "join")
        assert set((await w.sync(BOB, invited))["rooms"]) == {"join"}

    play(scenario)


def test_a_refused_invite_is_a_left_room_with_nothing_else_in_it(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, ALICE, "invite", BOB)
        since = (await w.sync(BOB))["next_batch"]
        await w.m.send(room, ALICE, "not for Bob")
        leave = await w.m.member(room, BOB, "leave")
        body = await w.sync(BOB, since)
        told = body["rooms"]["leave"][room]
        assert [event["event_id"] for event in told["timeline"]["events"]] == [leave]
        assert told["state"]["events"] == []
        assert "rooms" not in await w.sync(BOB, body["next_batch"])
        assert "rooms" not in await w.sync(BOB)

    play(scenario)


def test_invites_are_kept_from_who_ignores_the_sender_or_takes_none(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, ALICE, "invite", BOB)
        await w.set_data(BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}})
        assert "rooms" not in await w.sync(BOB)
        await w.set_data(BOB, "m.ignored_user_list", {"ignored_users": {}})
        assert room in (await w.sync(BOB))["rooms"]["invite"]
        await w.set_data(BOB, "m.invite_permission_config", {"default_action": "block"})
        assert "rooms" not in await w.sync(BOB)

    play(scenario)


def test_a_knock_stands_in_its_own_section(play: Play) -> None:
    async def scenario(w: World) -> None:
        rules = NewRoomEvent(type="m.room.join_rules", state_key="", content={"join_rule": "knock"})
        room = await w.m.create_room(ALICE, events=[rules])
        since = (await w.sync(BOB))["next_batch"]
        await w.m.member(room, BOB, "knock")
        told = (await w.sync(BOB, since))["rooms"]["knock"][room]["knock_state"]["events"]
        assert ("m.room.member", BOB) in types(told)

    play(scenario)


def test_a_left_room_is_told_up_to_the_leave(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        since = (await w.sync(BOB))["next_batch"]
        await w.m.send(room, ALICE, "before")
        await w.m.member(room, ALICE, "ban", BOB)
        await w.m.send(room, ALICE, "after")
        body = await w.sync(BOB, since)
        told = body["rooms"]["leave"][room]
        assert bodies(told) == ["before"]
        assert told["timeline"]["events"][-1]["content"]["membership"] == "ban"
        assert "ephemeral" not in told
        assert "rooms" not in await w.sync(BOB, body["next_batch"])

    play(scenario)


def test_archived_rooms_come_with_include_leave_until_they_are_forgotten(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.send(room, ALICE, "before")
        await w.m.member(room, BOB, "leave")
        await w.m.send(room, ALICE, "after")
        assert "rooms" not in await w.sync(BOB)
        body = await w.sync(BOB, filter=ARCHIVED)
        told = body["rooms"]["leave"][room]
        assert bodies(told) == ["before"]
        everything = types(told["state"]["events"]) + types(told["timeline"]["events"])
        assert ("m.room.create", "") in everything
        again = await w.sync(BOB, body["next_batch"], filter=ARCHIVED, full_state=True)
        assert bodies(again["rooms"]["leave"][room]) == ["before"]
        await w.m.call(ForgetRoom(user_id=BOB, room_id=room))
        assert "rooms" not in await w.sync(BOB, filter=ARCHIVED)

    play(scenario)


def test_a_room_joined_in_the_window_is_told_from_its_beginning(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.set_data(BOB, "m.tag", {"tags": {}}, room)
        since = (await w.sync(BOB))["next_batch"]
        await w.m.member(room, BOB, "leave")
        await w.m.send(room, ALICE, "away")
        await w.m.member(room, BOB, "join")
        told = joined(await w.sync(BOB, since), room)
        assert "away" in bodies(told)  # history is shared with who joins later
        assert ("m.room.create", "") in types(told["timeline"]["events"])
        assert told["account_data"]["events"] == [{"type": "m.tag", "content": {"tags": {}}}]

    play(scenario)


def test_who_joined_and_left_inside_the_window_is_told_once(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(CAROL))["next_batch"]
        await w.m.member(room, CAROL, "join")
        await w.m.send(room, ALICE, "hello")
        await w.m.member(room, CAROL, "leave")
        told = (await w.sync(CAROL, since))["rooms"]["leave"][room]
        assert bodies(told) == ["hello"]
        assert ("m.room.create", "") in types(told["timeline"]["events"]) + types(told["state"]["events"])

    play(scenario)


def test_a_membership_that_a_state_reset_removed_is_a_left_room_without_an_event(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        since = (await w.sync(BOB))["next_batch"]
        await w.m.send(room, ALICE, "before")
        end = await w.head()
        for table, column in (("local_membership", "user_id"), ("state", "state_key")):
            await w.m.db.execute(
                f"UPDATE {table} SET to_pos = %s WHERE {column} = %s AND to_pos = 9223372036854775807", (end, BOB)
            )
        told = (await w.sync(BOB, since))["rooms"]["leave"][room]
        assert bodies(told) == ["before"]

    play(scenario)


def test_only_rooms_that_the_filter_allows_are_told(play: Play) -> None:
    async def scenario(w: World) -> None:
        one, other = await w.m.create_room(ALICE), await w.m.create_room(ALICE)
        assert set((await w.sync(ALICE, filter={"room": {"rooms": [one]}}))["rooms"]["join"]) == {one}
        assert set((await w.sync(ALICE, filter={"room": {"not_rooms": [one]}}))["rooms"]["join"]) == {other}

    play(scenario)
