"""Heads that are dropped to save memory while they are in use, and what a redaction has to have in memory."""

from twisted.internet.defer import Deferred

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.replication.calls import Intent
from hs_common.storage.queries import Arguments, Row
from hs_master import step as module
from hs_master.decisions.events import needs_of
from hs_master.rooms.head import RoomHead
from hs_master.rooms.needs import Loader
from hs_master.step import Draft, Knowledge, KnownEvent, Step
from tests.common.matrix.an_event import ROOM, an_event

VERSION = ROOM_VERSIONS["11"]


class SlowDatabase:
    """Answers each statement when told, with no rows but for the first one's: that the room is there."""

    def __init__(self) -> None:
        self.asked: list[Deferred[list[Row]]] = []

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        answer: Deferred[list[Row]] = Deferred()
        self.asked.append(answer)
        return await answer

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        raise AssertionError("heads are read for many rooms at once")

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError("reading writes nothing")


def moved_on(knowledge: Knowledge) -> Draft:
    """A batch in which the room went on to $new."""
    draft = Draft(knowledge, 7, 0)
    step = Step(draft)
    room = step.room(ROOM)
    assert room is not None
    room.extremities = ("$new",)
    draft.merge(step)
    return draft


def test_a_head_dropped_while_its_batch_is_committed_is_read_anew() -> None:
    knowledge = Knowledge()
    knowledge.heads[ROOM] = RoomHead(ROOM, VERSION, extremities=("$old",))
    draft = moved_on(knowledge)
    del knowledge.heads[ROOM]
    draft.install()
    assert knowledge.heads == {}


def test_what_was_read_of_a_room_that_moved_on_meanwhile_is_not_taken() -> None:
    knowledge, database = Knowledge(), SlowDatabase()
    knowledge.heads[ROOM] = RoomHead(ROOM, VERSION, extremities=("$old",))
    draft = moved_on(knowledge)
    del knowledge.heads[ROOM]
    reading = Deferred.fromCoroutine(Loader(knowledge, database, "test").load_heads([ROOM]))
    draft.install()
    database.asked[0].callback([(ROOM, "11")])
    while len(database.asked) > 1 and not reading.called:
        database.asked.pop().callback([])
    assert reading.called
    assert knowledge.heads == {}
    assert knowledge.readings == {}


def test_new_rooms_count_for_the_limit() -> None:
    knowledge = Knowledge()
    draft = Draft(knowledge, 0, 0)
    for number in range(module.MAXIMUM_HEADS + 5):
        draft.new_heads[f"!{number}"] = RoomHead(f"!{number}", VERSION)
    draft.install()
    assert len(knowledge.heads) == module.MAXIMUM_HEADS


def test_redacting_a_state_event_needs_its_place_in_the_state() -> None:
    knowledge = Knowledge()
    knowledge.heads[ROOM] = RoomHead(ROOM, VERSION)
    topic = an_event("m.room.topic", {"topic": "tea"}, event_id="$topic", state_key="")
    knowledge.events["$topic"] = KnownEvent(topic, 3, 0, None)
    intent = Intent(room_id=ROOM, sender="@a:test", type="m.room.redaction", content={}, redacts="$topic")
    needs = needs_of(intent, knowledge, "test")
    assert needs is not None
    assert ("m.room.topic", "") in needs.keys
    assert needs.events == ["$topic"]
