"""Nobody types who is not in the room, however late the worker's call comes, and whatever the master has in memory."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication.calls import Answer, SetTyping
from hs_common.replication.ephemeral import Message, Typing, decode_message
from hs_common.replication.link_server import LeaderElsewhere
from hs_common.storage.queries import CONNECTION_LOST, DatabaseUnavailable
from hs_master import ephemeral
from hs_master.desk import Desk
from hs_master.ephemeral import EphemeralDesk
from hs_master.members import Members
from hs_master.rooms.head import RoomHead
from hs_master.step import Knowledge
from tests.master.harness import TestMaster, master
from tests.master.test_receiving import ALICE, BOB, CAROL, adopt, new_room, receive
from tests.reactor import run

ROOM = "!r:test"


class World:
    """A desk, and its database, which answers when it is told to. Nothing is in memory, unless `knows`."""

    def __init__(self) -> None:
        self.told: list[Message | None] = []
        self.asked: list[Deferred[str | None]] = []
        self.knows: bool | None = None
        self.desk = EphemeralDesk(Clock(), lambda: 1_000, lambda counter, body: self.told.append(decode_message(body)))
        self.desk.start(cast(Members, self))

    def known(self, room_id: str, user_id: str) -> bool | None:
        return self.knows

    async def is_joined(self, room_id: str, user_id: str) -> bool:
        reply: Deferred[str | None] = Deferred()
        self.asked.append(reply)
        return await reply == "join"

    def type(self, timeout_ms: int = 30_000, user_id: str = ALICE) -> "Deferred[Answer]":
        answer = self.desk.take(SetTyping(room_id=ROOM, user_id=user_id, timeout_ms=timeout_ms))
        assert answer is not None

        async def answered() -> Answer:
            return answer if isinstance(answer, Answer) else await answer

        return Deferred.fromCoroutine(answered())

    def shown(self) -> list[tuple[str, ...]]:
        return [one.user_ids for one in self.told if isinstance(one, Typing)]


def test_who_begins_is_looked_for() -> None:
    world = World()
    answer = world.type()
    assert world.shown() == []
    assert not answer.called
    world.asked[0].callback("join")
    assert world.shown() == [(ALICE,)]
    assert answer.called
    assert world.type().called, "who types already is there, as nobody said that he left"
    assert len(world.asked) == 1


@pytest.mark.parametrize("membership", [None, "leave", "ban"])
def test_who_is_not_there_does_not_type(membership: str | None) -> None:
    world = World()
    answer = world.type()
    world.asked[0].callback(membership)
    assert answer.called
    assert world.shown() == []


def test_what_is_in_memory_is_believed() -> None:
    world = World()
    world.knows = False
    assert world.type().called
    assert world.shown() == []
    world.knows = True
    assert world.type().called
    assert world.shown() == [(ALICE,)]
    assert world.asked == []


MEANWHILE: dict[str, Callable[[World], Any]] = {
    "he leaves": lambda world: world.desk.departed([(ROOM, ALICE)]),
    "he stops": lambda world: world.type(0),
    "this master leads no more": lambda world: world.desk.stop(),
}


@pytest.mark.parametrize("meanwhile", list(MEANWHILE))
def test_who_is_found_does_not_type_if_meanwhile(meanwhile: str) -> None:
    world = World()
    answer = world.type()
    MEANWHILE[meanwhile](world)
    world.asked[0].callback("join")
    assert answer.called
    assert world.shown() == []


def test_of_two_who_look_for_the_same_user_the_later_counts() -> None:
    world = World()
    world.type()
    world.type()
    world.asked[0].callback("join")
    assert world.shown() == []
    world.asked[1].callback("join")
    assert world.shown() == [(ALICE,)]


def test_who_leaves_has_stopped() -> None:
    world = World()
    world.knows = True
    world.type()
    world.type(user_id=BOB)
    world.desk.departed([(ROOM, ALICE), (ROOM, CAROL), ("!other", BOB)])
    assert world.shown() == [(ALICE,), (ALICE, BOB), (BOB,)]


def test_so_many_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ephemeral, "BEGINNERS_LIMIT", 2)
    world = World()
    assert [world.type(user_id=f"@{number}:test").called for number in range(3)] == [False, False, True]


def test_without_the_database_the_worker_asks_again() -> None:
    async def failing() -> Answer:
        raise DatabaseUnavailable(CONNECTION_LOST, "away")

    async def leads() -> bool:
        return True

    def take(call: object) -> Awaitable[Answer]:
        return failing()

    desk = Desk(lambda: True, leads)
    desk.open(cast(Any, None), cast(Any, take), cast(Any, None), lambda call: None)
    with pytest.raises(LeaderElsewhere):
        run(desk.call(SetTyping(room_id=ROOM, user_id=ALICE, timeout_ms=1), None))
    world = World()
    answer = world.type()
    world.asked[0].errback(DatabaseUnavailable(CONNECTION_LOST, "away"))
    answer.addErrback(lambda failure: failure.trap(DatabaseUnavailable))
    world.type()
    world.asked[1].callback("join")
    assert world.shown() == [(ALICE,)]


def test_memory_says_who_is_there_only_where_it_knows() -> None:
    knowledge = Knowledge()
    assert knowledge.is_joined(ROOM, ALICE) is None
    knowledge.heads[ROOM] = head = RoomHead(ROOM, cast(Any, None))
    assert knowledge.is_joined(ROOM, ALICE) is None
    head.fill({("m.room.member", ALICE): None})
    assert knowledge.is_joined(ROOM, ALICE) is False


# --- with a whole master ---


async def types(m: TestMaster, room_id: str, user_id: str) -> bool:
    """Whether the user is shown typing once he says so."""
    before = len(m.told)
    await m.call(SetTyping(room_id=room_id, user_id=user_id, timeout_ms=30_000))
    return any(isinstance(one, Typing) and user_id in one.user_ids for one in m.told[before:])


def test_of_a_room_joined_elsewhere_who_is_there_types_until_he_leaves(database_url: str) -> None:
    """After the join nothing of the room is in memory."""
    graph, join = new_room()

    async def play() -> None:
        async with master(database_url) as m:
            await adopt(m, graph, join)
            assert await types(m, graph.room_id, BOB)
            assert not await types(m, graph.room_id, "@nobody:there")
            leave = graph.add(BOB, "m.room.member", {"membership": "leave"}, BOB, prevs=[join])
            await receive(m, graph, leave)
            assert m.told[-1] == Typing(graph.room_id, ())
            assert not await types(m, graph.room_id, BOB)

    run(play())


def test_who_has_left_while_this_server_was_away_has_stopped(database_url: str) -> None:
    """The join brings a whole state, of which only that says so."""
    graph, join = new_room()
    without = graph.add(ALICE, "m.room.member", {"membership": "leave"}, ALICE, prevs=[join])
    left = graph.add(BOB, "m.room.member", {"membership": "leave"}, BOB, prevs=[without])
    again = graph.join(ALICE, [left])

    async def play() -> None:
        async with master(database_url) as m:
            await adopt(m, graph, join)
            await receive(m, graph, without)
            assert await types(m, graph.room_id, BOB)
            await adopt(m, graph, again)
            assert m.told[-1] == Typing(graph.room_id, ())
            assert not await types(m, graph.room_id, BOB)

    run(play())


def test_who_is_put_out_has_stopped(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room_id = await m.create_room(ALICE)
            await m.member(room_id, "@dora:test", "join")
            assert await types(m, room_id, "@dora:test")
            assert await types(m, room_id, ALICE)
            await m.member(room_id, "@dora:test", "join", displayname="Dora")
            assert m.told[-1] == Typing(room_id, ("@dora:test", ALICE))
            await m.member(room_id, ALICE, "leave", target="@dora:test")
            assert m.told[-1] == Typing(room_id, (ALICE,))

    run(play())
