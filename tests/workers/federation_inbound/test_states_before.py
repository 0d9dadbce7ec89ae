"""A state that another server names is taken when all of it is here, and with holes only when nobody can fill them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from twisted.logger import capturedLogs

from hs_common.federation import states_before
from hs_common.federation.fetching import Room
from hs_common.federation.states_before import PATIENT_TRIES, STRICT_TRIES
from hs_common.matrix.errors import not_found, unknown
from hs_common.matrix.event import Event
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu
from hs_common.storage import room_forks
from hs_workers.federation_inbound import in_vain
from tests.common.federation.far_server import FarRoom, FarServer
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

OTHER = "other.example"
TOPIC = ("m.room.topic", "")
MISSING_EVENTS = "/_matrix/federation/v1/get_missing_events"


def _event_path(event: Event) -> str:
    return "/_matrix/federation/v1/event/" + quote(event.event_id, safe="")


def _does_not_have(path: str, asked: Any) -> Any:
    raise not_found("no such event")


def _is_busy(path: str, asked: Any) -> Any:
    raise unknown("not now", 502)


@dataclass
class _Gap:
    """A room of two far servers, of which this one has missed the newest topic; nobody tells the way back to `last`."""

    world: WritingWorld
    room: FarRoom
    other: FarServer
    old: Event
    topic: Event
    last: Event

    async def take_in(self, tries: int = 0) -> str:
        """What becomes of the newest event; its own server is asked first."""
        room = Room(self.room.room_id, self.room.version)
        received = _received(self.last)
        verdicts = await self.world.parts._completing.take_in(room, [received], [FAR], tries=tries)
        return verdicts[self.last.event_id].status

    async def current(self) -> dict[tuple[str, str], str]:
        rows = await room_forks.current_state(self.world.db, self.room.room_id)
        return {(row[0], row[1]): row[2] for row in rows}

    def of_all(self, event: Event, answer: Callable[[str, Any], Any]) -> None:
        """What both servers say when they are asked for an event."""
        for server in (self.world.far, self.other):
            server.answers[_event_path(event)] = answer

    def asked(self, name: str) -> list[str]:
        return [server for server, what in self.world.servers.asked if what == name]


def _received(event: Event) -> ReceivedPdu:
    return read_pdu(dict(event.pdu), event.room_version)


def _play(database_url: str, scenario: Callable[[_Gap], Awaitable[None]]) -> None:
    async def played(world: WritingWorld) -> None:
        room, other = world.far.room("10"), FarServer(OTHER)
        room.send("m.room.power_levels", {"users": {room.creator: 100}, "users_default": 50}, state_key="")
        other.rooms = world.far.rooms
        world.servers.servers[OTHER] = other
        room.join(f"@dora:{OTHER}")
        old = room.send("m.room.topic", {"topic": "old"}, state_key="")
        await world.enter(room)
        topic = room.send("m.room.topic", {"topic": "new"}, state_key="", sender=f"@dora:{OTHER}")
        last = room.say("last")
        for server in (world.far, other):
            server.answers[MISSING_EVENTS] = _is_busy
        world.servers.asked.clear()
        await scenario(_Gap(world, room, other, old, topic, last))

    play(database_url, played)


def test_what_one_server_names_and_does_not_give_is_asked_of_others(database_url: str) -> None:
    async def scenario(gap: _Gap) -> None:
        gap.world.far.answers[_event_path(gap.topic)] = _does_not_have
        assert await gap.take_in() == "accepted"
        assert gap.asked("event") == [FAR, OTHER]
        assert gap.asked("state_ids") == [FAR]
        assert (await gap.current())[TOPIC] == gap.topic.event_id
        assert "state with holes" not in gap.world.fetched

    _play(database_url, scenario)


def test_another_server_that_gives_the_whole_state_wins(database_url: str) -> None:
    async def scenario(gap: _Gap) -> None:
        def invented(path: str, asked: Any) -> Any:
            told = FarServer._state_ids(gap.world.far, gap.room.room_id, query=asked, body=None)
            return {**told, "pdu_ids": [*told["pdu_ids"], "$" + "x" * 43]}

        gap.world.far.answers["/_matrix/federation/v1/state_ids"] = invented
        assert await gap.take_in() == "accepted"
        assert gap.asked("state_ids") == [FAR, OTHER]
        assert (await gap.current())[TOPIC] == gap.topic.event_id
        assert "state with holes" not in gap.world.fetched

    _play(database_url, scenario)


def test_an_event_that_nobody_can_verify_does_not_end_the_room(database_url: str) -> None:
    def warnings() -> list[Any]:
        return [event["holes"] for event in logs if "is taken without" in str(event.get("log_format"))]

    async def scenario(gap: _Gap) -> None:
        gap.world.keys.unknown.add(OTHER)  # its key can be had nowhere any more
        for tries in range(STRICT_TRIES):
            assert await gap.take_in(tries) == "missing"
        assert (warnings(), await gap.world.status(gap.last)) == ([], None)
        assert await gap.take_in(STRICT_TRIES) == "accepted"
        assert warnings() == [[gap.topic.event_id]]
        assert gap.world.fetched.count("state with holes") == 1
        # What is not known of the state is taken to be as it was here.
        assert (await gap.current())[TOPIC] == gap.old.event_id
        before = await gap.world.db.fetch_one(
            "SELECT count(*) FROM state_delta WHERE type = 'm.room.topic' AND event_id IS NULL"
        )
        assert before == (0,)
        # The next state lacks the same event: nobody is asked for it again, nobody has to wait.
        gap.room.say("missed")
        gap.last = gap.room.say("later")
        gap.world.servers.asked.clear()
        assert await gap.take_in() == "accepted"
        assert gap.asked("event") == []
        assert gap.world.fetched.count("state with holes") == 2

    with capturedLogs() as logs:
        _play(database_url, scenario)


def test_a_staged_event_is_tried_for_until_a_hole_is_accepted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_vain, "WAIT_FACTOR", 0.0)  # who has sent it is asked again at once

    async def scenario(gap: _Gap) -> None:
        gap.of_all(gap.topic, _does_not_have)
        await gap.world.send(gap.last)
        await gap.world.settled()
        assert (await gap.world.status(gap.last), await gap.world.staged()) == (None, 1)
        await gap.world.db.execute("UPDATE inbound_pdu SET attempts = %s, retry_at = now()", (STRICT_TRIES,))
        await gap.world.parts.queues.look()
        await gap.world.settled()
        assert (await gap.world.status(gap.last), await gap.world.staged()) == (room_forks.ACCEPTED, 0)
        assert gap.world.fetched.count("state with holes") == 1

    _play(database_url, scenario)


def test_who_cannot_be_asked_is_waited_for_longer(database_url: str) -> None:
    async def scenario(gap: _Gap) -> None:
        gap.world.far.answers[_event_path(gap.topic)] = _does_not_have
        gap.world.servers.down.add(OTHER)
        for tries in range(PATIENT_TRIES):
            assert await gap.take_in(tries) == "missing"
        assert await gap.take_in(PATIENT_TRIES) == "accepted"
        assert gap.world.fetched.count("state with holes") == 1
        assert (await gap.current())[TOPIC] == gap.old.event_id

    _play(database_url, scenario)


def test_who_comes_back_in_time_fills_the_hole(database_url: str) -> None:
    async def scenario(gap: _Gap) -> None:
        gap.of_all(gap.topic, _is_busy)
        for tries in range(PATIENT_TRIES):
            assert await gap.take_in(tries) == "missing"
        del gap.other.answers[_event_path(gap.topic)]
        assert await gap.take_in(PATIENT_TRIES) == "accepted"
        assert "state with holes" not in gap.world.fetched
        assert (await gap.current())[TOPIC] == gap.topic.event_id

    _play(database_url, scenario)


def test_an_event_whose_own_right_is_in_the_hole_waits(database_url: str) -> None:
    async def scenario(gap: _Gap) -> None:
        levels = gap.room.send("m.room.power_levels", {"users": {gap.room.creator: 100}}, state_key="")
        gap.last = gap.room.say("by the new levels")
        gap.of_all(levels, _does_not_have)
        for server in (gap.world.far, gap.other):
            server.answers["/_matrix/federation/v1/event_auth"] = _is_busy
        assert await gap.take_in(PATIENT_TRIES) == "missing"
        assert await gap.world.status(gap.last) is None

    _play(database_url, scenario)


def test_what_a_state_costs_is_bounded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states_before, "SINGLE_EVENTS", 3)
    monkeypatch.setattr(states_before, "SINGLE_REQUESTS", 5)

    async def scenario(gap: _Gap) -> None:
        invented = [f"${number:043}" for number in range(4)]

        def names(count: int) -> Callable[[str, Any], Any]:
            return lambda path, asked: {"pdu_ids": invented[:count], "auth_chain_ids": []}

        for server in (gap.world.far, gap.other):
            server.answers["/_matrix/federation/v1/state_ids"] = names(4)
        servers = [FAR, OTHER, "third.example"]
        third = FarServer("third.example")
        third.rooms, third.answers = gap.other.rooms, gap.other.answers
        gap.world.servers.servers["third.example"] = third
        room, states = Room(gap.room.room_id, gap.room.version), gap.world.parts._completing._states
        until = gap.world.parts._completing._seconds() + 60.0
        assert await states.ask(room, gap.last.event_id, servers, until, 0) is None
        assert gap.asked("state") == [FAR, OTHER]  # more are missing than are asked for one by one
        assert gap.asked("event") == []
        for server in (gap.world.far, gap.other):
            server.answers["/_matrix/federation/v1/state_ids"] = names(3)
        assert await states.ask(room, gap.last.event_id, servers, until, 0) is None
        assert len(gap.asked("event")) == 5
        gap.world.servers.asked.clear()
        assert await states.ask(room, gap.last.event_id, servers, until - 120.0, 9) is None
        assert gap.world.servers.asked == []

    _play(database_url, scenario)
