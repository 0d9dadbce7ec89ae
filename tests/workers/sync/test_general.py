"""Answers of /sync from Postgres: each part of the specification played on the master's own history."""

import pytest

from hs_workers.sync import load_timelines, timeline
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, World, bodies, joined, types


def test_a_first_answer_has_the_state_before_its_timeline(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        for number in range(15):
            await w.m.send(room, ALICE, str(number))
        told = joined(await w.sync(ALICE), room)
        assert bodies(told) == [str(number) for number in range(5, 15)]
        assert told["timeline"]["limited"] is True
        assert ("m.room.create", "") in types(told["state"]["events"])
        assert ("m.room.member", ALICE) in types(told["state"]["events"])
        assert told["summary"] == {"m.heroes": [], "m.joined_member_count": 1, "m.invited_member_count": 0}
        assert told["unread_notifications"] == {"notification_count": 0, "highlight_count": 0}

    play(scenario)


def test_the_next_answer_has_what_is_new(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        first = await w.sync(ALICE)
        assert "rooms" not in await w.sync(ALICE, first["next_batch"])
        await w.m.send(room, BOB, "new")
        second = await w.sync(ALICE, first["next_batch"])
        told = joined(second, room)
        assert bodies(told) == ["new"]
        assert told["timeline"]["limited"] is False
        assert told["state"]["events"] == []
        assert told["unread_notifications"] == {"notification_count": 1, "highlight_count": 0}
        assert "rooms" not in await w.sync(ALICE, second["next_batch"])
        assert await w.sync(ALICE, first["next_batch"]) == second

    play(scenario)


def test_an_answer_on_many_rooms_is_bounded(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MAXIMUM_EVENTS", 9)
    monkeypatch.setattr(load_timelines, "MAXIMUM_EVENTS", 9)

    async def scenario(w: World) -> None:
        rooms = [await w.m.create_room(ALICE) for _ in range(4)]
        for room in rooms:
            for number in range(5):
                await w.m.send(room, ALICE, str(number))
        answer = await w.sync(ALICE, filter={"room": {"timeline": {"limit": 500}}})
        for room in rooms:
            told = joined(answer, room)
            assert bodies(told) == ["3", "4"]
            assert told["timeline"]["limited"] is True

    play(scenario)
