"""Events that are sent later: once, when their time has come, by whoever leads then."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from twisted.internet.task import deferLater

from hs_common.matrix.client_event import DELAYED_DEVICE
from hs_common.matrix.errors import MatrixError
from hs_common.replication import items
from hs_common.replication.calls import RegisterUser
from hs_common.replication.delayed_calls import (
    ManageDelayedEvent,
    PruneDelayedEvents,
    ScheduleEvent,
    SendDelayedEvent,
)
from hs_common.replication.entry import decode_body
from hs_common.storage import delayed_events
from hs_common.storage.delayed_events import DelayedEvent
from tests.master.harness import START_MS, TestMaster, master
from tests.reactor import reactor, run, until
from tests.services import TestPostgres

ALICE, BOB = "@alice:test", "@bob:test"
LONG_MS = 3_600_000


@pytest.fixture
def database_url(postgres: TestPostgres) -> Iterator[str]:
    with postgres.database() as url:
        yield url


async def begin(m: TestMaster) -> str:
    """A room of Alice, who has an account."""
    await m.call(RegisterUser(user_id=ALICE, password_hash=None))
    return await m.create_room(ALICE)


def scheduling(room_id: str, delay_id: str, delay_ms: int = LONG_MS, **more: Any) -> ScheduleEvent:
    event: dict[str, Any] = {"type": "m.room.message", "content": {"body": delay_id}, "maximum": 5, **more}
    return ScheduleEvent(delay_id=delay_id, user_id=ALICE, room_id=room_id, delay_ms=delay_ms, **event)


async def found(m: TestMaster, delay_id: str) -> DelayedEvent:
    event = await delayed_events.delayed_event(m.db, delay_id)
    assert event is not None
    return event


def sent(m: TestMaster) -> list[items.EventItem]:
    """The delayed events that were sent."""
    all_items = [items.decode(one.kind, one.body) for entry in m.entries for one in decode_body(entry).items]
    return [item for item in all_items if isinstance(item, items.EventItem) and item.device_id == DELAYED_DEVICE]


def texts(m: TestMaster) -> list[str]:
    return [orjson.loads(item.json)["content"]["body"] for item in sent(m)]


async def finalised(m: TestMaster, delay_id: str) -> DelayedEvent:
    """The event once it is finalised."""
    for _ in range(500):
        event = await found(m, delay_id)
        if event.finalised_ms is not None:
            return event
        await deferLater(reactor, 0.01)
    raise AssertionError(f"{delay_id} is not finalised")


def test_an_event_is_sent_once_when_its_time_has_come(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            await m.call(scheduling(room, "later"))
            await m.call(scheduling(room, "soon", 30))
            await m.call(scheduling(room, "topic", 30, type="m.room.topic", content={"topic": "t"}, state_key=""))
            event = await finalised(m, "soon")
            await until(lambda: len(sent(m)) == 2)
            assert [item.txn_id for item in sent(m)] == ["soon", "topic"]
            assert event.event_id == sent(m)[0].event_id
            assert event.finalised_ms is not None
            assert event.finalised_ms >= event.due_ms
            await m.call(SendDelayedEvent(delay_id="soon"))
            await m.call(SendDelayedEvent(delay_id="soon", user_id=ALICE))
            assert len(sent(m)) == 2

    run(scenario())


def test_actions(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            for delay_id in ("sent", "cancelled", "restarted"):
                await m.call(scheduling(room, delay_id))
            await m.call(SendDelayedEvent(delay_id="sent", user_id=ALICE))
            await m.call(ManageDelayedEvent(delay_id="cancelled", user_id=ALICE, action="cancel"))
            before = await found(m, "restarted")
            await m.call(ManageDelayedEvent(delay_id="restarted", user_id=ALICE, action="restart"))
            after = await found(m, "restarted")
            assert after.due_ms - before.due_ms == after.since_ms - before.since_ms > 0
            assert texts(m) == ["sent"]
            # What came of it already is no error, anything else is.
            await m.call(ManageDelayedEvent(delay_id="cancelled", user_id=ALICE, action="cancel"))
            for call in (
                ManageDelayedEvent(delay_id="sent", user_id=ALICE, action="cancel"),
                ManageDelayedEvent(delay_id="sent", user_id=ALICE, action="restart"),
                ManageDelayedEvent(delay_id="cancelled", user_id=ALICE, action="restart"),
                SendDelayedEvent(delay_id="cancelled", user_id=ALICE),
            ):
                with pytest.raises(MatrixError, match="409"):
                    await m.call(call)
            for call in (
                ManageDelayedEvent(delay_id="restarted", user_id=BOB, action="cancel"),
                SendDelayedEvent(delay_id="restarted", user_id=BOB),
                SendDelayedEvent(delay_id="unknown", user_id=ALICE),
            ):
                with pytest.raises(MatrixError, match="M_NOT_FOUND"):
                    await m.call(call)

    run(scenario())


def test_what_may_not_be_sent_fails_when_its_time_has_come(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            await m.call(scheduling(room, "early"))
            await m.call(scheduling(room, "late", 30))
            await m.member(room, ALICE, "leave")
            with pytest.raises(MatrixError, match="M_FORBIDDEN"):
                await m.call(SendDelayedEvent(delay_id="early", user_id=ALICE))
            assert (await found(m, "early")).finalised_ms is None
            late = await finalised(m, "late")
            assert late.event_id is None
            assert orjson.loads(late.error or "")["errcode"] == "M_FORBIDDEN"
            assert sent(m) == []

    run(scenario())


def test_what_a_policy_server_must_see_first_is_not_sent_unseen(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            keys = {"public_keys": {"ed25519": "b64"}}
            policies: dict[str, Any] = {"no key": {"via": "test"}, "nobody of it is here": {"via": "elsewhere", **keys}}
            for name, content in policies.items():
                await m.event(room, ALICE, "m.room.policy", content, state_key="")
                await m.call(scheduling(room, name))
                await m.call(SendDelayedEvent(delay_id=name, user_id=ALICE))
            assert texts(m) == [*policies]
            await m.event(room, ALICE, "m.room.policy", {"via": "test", **keys}, state_key="")
            await m.call(scheduling(room, "message"))
            with pytest.raises(MatrixError, match="policy server"):
                await m.call(SendDelayedEvent(delay_id="message", user_id=ALICE))
            await m.call(scheduling(room, "off", type="m.room.policy", content={}, state_key=""))
            await m.call(SendDelayedEvent(delay_id="off", user_id=ALICE))
            await m.call(SendDelayedEvent(delay_id="message", user_id=ALICE))
            assert [item.txn_id for item in sent(m)][2:] == ["off", "message"]

    run(scenario())


def test_the_next_leader_sends_what_came_due_meanwhile(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            await m.call(scheduling(room, "second", 100_000))
            await m.call(scheduling(room, "first", 90_000))
            await m.call(scheduling(room, "never", 90_000))
            await m.call(ManageDelayedEvent(delay_id="never", user_id=ALICE, action="cancel"))
            # Time passes while nobody leads.
            await m.db.execute("UPDATE delayed_events SET due_ms = due_ms - 200000")
        async with master(database_url) as m:
            await until(lambda: len(sent(m)) == 2)
            assert texts(m) == ["first", "second"]

    run(scenario())


def test_how_many_is_bounded_and_old_ones_are_forgotten(database_url: str) -> None:
    async def scenario() -> None:
        async with master(database_url) as m:
            room = await begin(m)
            for number in range(5):
                await m.call(scheduling(room, str(number)))
            with pytest.raises(MatrixError, match="M_LIMIT_EXCEEDED") as refused:
                await m.call(scheduling(room, "one more"))
            assert isinstance(refused.value.fields["retry_after_ms"], int)
            assert refused.value.fields["retry_after_ms"] > LONG_MS / 2
            await m.call(ManageDelayedEvent(delay_id="0", user_id=ALICE, action="cancel"))
            await m.call(scheduling(room, "one more"))
            await m.call(PruneDelayedEvents(before_ms=START_MS + LONG_MS))
            assert await delayed_events.delayed_event(m.db, "0") is None
            assert len(await delayed_events.scheduled_by(m.db, ALICE, 10)) == 5

    run(scenario())
