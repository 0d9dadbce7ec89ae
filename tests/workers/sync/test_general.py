"""Answers of /sync from Postgres: each part of the specification played on the master's own history."""

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
