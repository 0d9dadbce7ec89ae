"""Deciding on events that are sent later: scheduling, restarting, cancelling, and sending them.

An event and what became of it are one transaction, and all calls about one are decided one after the other on its row:
so it is sent once. Rooms with a policy server are refused, as nothing can be asked of it here.

Spec: MSC4140.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from hs_common.matrix.client_event import DELAYED_DEVICE
from hs_common.matrix.errors import MatrixError, forbidden, limit_exceeded, not_found, unknown
from hs_common.matrix.policy_server import POLICY_KEY, policy_of
from hs_common.replication.calls import Answer, Intent
from hs_common.replication.delayed_calls import (
    EventScheduled,
    ManageDelayedEvent,
    PruneDelayedEvents,
    ScheduleEvent,
    SendDelayedEvent,
)
from hs_common.storage import delayed_events, master_reads
from hs_common.storage.delayed_events import DelayedEvent
from hs_common.storage.queries import Queries, Row
from hs_master import delayed_tables as tables
from hs_master.decisions.events import EventAppender, needs_of
from hs_master.decisions.receiving import Preparing
from hs_master.decisions.sessions import DEACTIVATED, SUSPENDED, user_queue
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step


class ScheduleEventDecider:
    """Decides `ScheduleEvent`."""

    def queue(self, call: ScheduleEvent) -> str:
        return user_queue(call.user_id)

    async def load(self, call: ScheduleEvent, db: Queries) -> tuple[int, int | None]:
        return await delayed_events.count_scheduled(db, call.user_id)

    def decide(self, call: ScheduleEvent, step: Step, loaded: tuple[int, int | None]) -> EventScheduled:
        scheduled, next_due_ms = loaded
        if scheduled >= call.maximum:
            raise limit_exceeded(max(1, (next_due_ms or step.now_ms) - step.now_ms))
        due_ms = step.now_ms + call.delay_ms
        step.row(
            tables.SCHEDULED,
            *(call.delay_id, call.user_id, call.room_id, call.type, call.state_key),
            *(orjson.dumps(call.content).decode(), call.redacts, call.device_id, call.timestamp_ms),
            *(call.delay_ms, step.now_ms, due_ms, step.next_pos()),
        )
        return EventScheduled(pos=step.pos, delay_id=call.delay_id)


class ManageDelayedEventDecider:
    """Decides `ManageDelayedEvent`."""

    def queue(self, call: ManageDelayedEvent) -> str:
        return delay_queue(call.delay_id)

    async def load(self, call: ManageDelayedEvent, db: Queries) -> tuple[DelayedEvent | None]:
        return (await delayed_events.delayed_event(db, call.delay_id),)

    def decide(self, call: ManageDelayedEvent, step: Step, loaded: tuple[DelayedEvent | None]) -> Answer:
        event = owned(loaded[0], call.user_id)
        if event.finalised_ms is not None:
            if call.action == "cancel" and event.event_id is None:
                return Answer(pos=step.pos)
            raise finalised(event)
        if call.action == "cancel":
            step.row(tables.FINALISED, call.delay_id, step.now_ms, None, None)
        else:
            step.row(tables.RESTARTED, call.delay_id, step.now_ms, step.now_ms + event.delay_ms)
        return Answer(pos=step.pos)


@dataclass(frozen=True, slots=True)
class _Loaded:
    event: DelayedEvent | None
    user: Row | None = None


class SendDelayedEventDecider:
    """Decides `SendDelayedEvent`."""

    def __init__(self, appender: EventAppender, preparing: Preparing) -> None:
        self._appender = appender
        self._preparing = preparing

    def queue(self, call: SendDelayedEvent) -> str:
        return delay_queue(call.delay_id)

    async def load(self, call: SendDelayedEvent, db: Queries) -> _Loaded:
        event = await delayed_events.delayed_event(db, call.delay_id)
        if event is None or event.finalised_ms is not None:
            return _Loaded(event)
        await self._preparing.load(event.room_id, lambda knowledge: self._needs(event, knowledge))
        return _Loaded(event, await master_reads.user(db, event.user_id))

    def _needs(self, event: DelayedEvent, knowledge: Knowledge) -> list[Needs]:
        needs = needs_of(intent_of(event), knowledge, self._appender.server_name)
        return [] if needs is None else [needs, Needs(event.room_id, [POLICY_KEY])]

    def decide(self, call: SendDelayedEvent, step: Step, loaded: _Loaded) -> Answer:
        event = loaded.event
        if call.user_id is None and (event is None or event.finalised_ms is not None or event.due_ms > step.now_ms):
            return Answer(pos=step.pos)  # cancelled, sent or restarted meanwhile
        event = owned(event, call.user_id)
        if event.finalised_ms is not None:
            if event.event_id is not None:
                return Answer(pos=step.pos)
            raise finalised(event)
        try:
            event_id = self._send(event, step, loaded.user)
        except MatrixError as error:
            if call.user_id is not None:
                raise
            step.row(
                tables.FINALISED,
                *(call.delay_id, step.now_ms, None, orjson.dumps(error.body()).decode()),
            )
        else:
            step.row(tables.FINALISED, call.delay_id, step.now_ms, event_id, None)
        return Answer(pos=step.pos)

    def _send(self, event: DelayedEvent, step: Step, user: Row | None) -> str:
        if user is None or user[DEACTIVATED]:
            raise MatrixError(403, "M_USER_DEACTIVATED", "The account was deactivated")
        if user[SUSPENDED]:
            raise MatrixError(403, "M_USER_SUSPENDED", "The account has been suspended and cannot send messages")
        if _must_be_signed(event, step):
            raise forbidden("The room's policy server must see events first: send them without delay")
        return self._appender.append_intent(step, intent_of(event))


def _must_be_signed(event: DelayedEvent, step: Step) -> bool:
    """Whether the room uses a policy server. Spec: server-server API, #policy-servers."""
    room = step.room(event.room_id)
    setting = None if room is None else room.entry(POLICY_KEY)
    policy = None if setting is None else policy_of(setting.content)
    if room is None or policy is None or (event.type, event.state_key) == POLICY_KEY:
        return False
    return room.server_joined(policy.server) > 0


class PruneDelayedEventsDecider:
    """Decides `PruneDelayedEvents`."""

    def queue(self, call: PruneDelayedEvents) -> str:
        return "delayed events that are finalised"

    async def load(self, call: PruneDelayedEvents, db: Queries) -> Any:
        return ()

    def decide(self, call: PruneDelayedEvents, step: Step, loaded: Any) -> Answer:
        step.row(tables.PRUNED, call.before_ms)
        return Answer(pos=step.pos)


def delay_queue(delay_id: str) -> str:
    """Everything about one delayed event happens in one order."""
    return f"delayed event {delay_id}"


def owned(event: DelayedEvent | None, user_id: str | None) -> DelayedEvent:
    """The event, if it is the user's. Raises M_NOT_FOUND."""
    if event is None or user_id not in (None, event.user_id):
        raise not_found("There is no delayed event with this id")
    return event


def finalised(event: DelayedEvent) -> MatrixError:
    """It is too late for what is asked."""
    outcome = "cancelled" if event.event_id is None else "sent"
    return unknown(f"The delayed event has been {outcome} already", 409)


def intent_of(event: DelayedEvent) -> Intent:
    """The event as it is sent."""
    return Intent(
        room_id=event.room_id,
        sender=event.user_id,
        type=event.type,
        content=orjson.loads(event.content),
        state_key=event.state_key,
        redacts=event.redacts,
        timestamp_ms=event.timestamp_ms,
        device_id=DELAYED_DEVICE,
        txn_id=event.delay_id,
    )
