"""What a room is to other servers is looked up for all who ask at once, and only a yes is kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from hs_common.storage import federated_rooms
from hs_common.storage.queries import DatabaseUnavailable
from hs_workers.federation_inbound.room_admission import RoomAdmission, RoomStanding
from tests.master.harness import SERVER
from tests.reactor import reactor
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play


def test_rooms_are_looked_up_together(database_url: str, monkeypatch: Any) -> None:
    looked: list[list[str]] = []
    answering: Deferred[None] = Deferred()  # a statement may be answered at once

    async def scenario(world: WritingWorld) -> None:
        admission = RoomAdmission(world.db, SERVER, reactor.seconds)  # which nobody else asks
        look_up = admission._look_up_now

        async def look_up_now(room_ids: Sequence[str]) -> Mapping[str, RoomStanding]:
            looked.append(list(room_ids))
            if len(looked) == 1:
                await answering
            return await look_up(room_ids)

        room, other = world.far.room(), world.far.room()
        await world.enter(room)
        monkeypatch.setattr(admission, "_look_up_now", look_up_now)
        asked = [[room.room_id], [other.room_id], [room.room_id, other.room_id], [other.room_id]]
        asking = [Deferred.fromCoroutine(admission.standings(room_ids, FAR)) for room_ids in asked]
        asking[1].addErrback(lambda failure: failure.trap(CancelledError))
        asking[1].cancel()  # whose request has ended keeps nobody waiting
        answering.callback(None)
        for number in (0, 2, 3):
            standings = await asking[number]
            assert {room_id: one.joined for room_id, one in standings.items()} == {
                room_id: room_id == room.room_id for room_id in asked[number]
            }
        assert [sorted(set(one)) for one in looked] == [[room.room_id], sorted((room.room_id, other.room_id))]
        assert (await admission.standings([room.room_id], FAR))[room.room_id].joined
        assert len(looked) == 2, "a yes is kept"

    play(database_url, scenario)


def test_a_database_that_is_away_is_told_to_all_who_ask(database_url: str, monkeypatch: Any) -> None:
    async def room_facts(db: Any, name: str, room_ids: Any) -> Any:
        raise DatabaseUnavailable("08006", "away")

    async def scenario(world: WritingWorld) -> None:
        monkeypatch.setattr(federated_rooms, "room_facts", room_facts)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await world.parts._admission.standings(["!a:far.example"], FAR)

    play(database_url, scenario)


def test_what_was_read_while_the_log_told_of_a_change_is_not_kept(database_url: str, monkeypatch: Any) -> None:
    honestly = federated_rooms.room_facts
    calls: list[int] = []

    async def scenario(world: WritingWorld) -> None:
        admission = RoomAdmission(world.db, SERVER, reactor.seconds)  # which nobody else asks
        look_up = admission._look_up_now

        async def room_facts(db: Any, name: str, room_ids: Any) -> Any:
            facts = await honestly(db, name, room_ids)
            if calls[-1:] == [0]:
                admission.forget("!another:far.example")
            return facts

        async def look_up_now(room_ids: Sequence[str]) -> Mapping[str, RoomStanding]:
            calls.append(len(calls))
            return await look_up(room_ids)

        room = world.far.room()
        await world.enter(room)
        monkeypatch.setattr(federated_rooms, "room_facts", room_facts)
        monkeypatch.setattr(admission, "_look_up_now", look_up_now)
        for _ in range(3):
            assert (await admission.standings([room.room_id], FAR))[room.room_id].joined
        assert len(calls) == 2

    play(database_url, scenario)
