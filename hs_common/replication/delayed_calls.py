"""The calls about events that are sent later.

Rules: a delayed event is sent once, in the transaction that marks it as finalised, whoever asks for it and however
often.
Spec: MSC4140.
"""

from typing import Any, ClassVar, Literal

from hs_common.replication.call import Answer, Call


class EventScheduled(Answer, frozen=True, kw_only=True):
    delay_id: str


class ScheduleEvent(Call, frozen=True, kw_only=True):
    """Note an event to be sent after a delay. Whether the user may send it is decided then.

    Errors: M_LIMIT_EXCEEDED when the user has `maximum` scheduled already.
    """

    answer: ClassVar[type[Answer]] = EventScheduled
    delay_id: str  # made at random by the worker
    user_id: str
    room_id: str
    type: str
    content: dict[str, Any]
    delay_ms: int
    maximum: int
    state_key: str | None = None
    redacts: str | None = None
    timestamp_ms: int | None = None
    device_id: str | None = None


class ManageDelayedEvent(Call, frozen=True, kw_only=True):
    """Start a scheduled event's delay anew, or take it back.

    Errors: M_NOT_FOUND; 409 M_UNKNOWN if it is finalised otherwise.
    """

    delay_id: str
    user_id: str
    action: Literal["restart", "cancel"]


class SendDelayedEvent(Call, frozen=True, kw_only=True):
    """Send a scheduled event now. `user_id` None: its time has come.

    Errors, for a user: M_NOT_FOUND; 409 M_UNKNOWN if it was cancelled; whatever refuses the event, which then stays
    scheduled. When its time has come a refusal finalises it.
    """

    delay_id: str
    user_id: str | None = None


class PruneDelayedEvents(Call, frozen=True, kw_only=True):
    """Forget what was finalised before a time."""

    before_ms: int


DELAYED_CALLS: tuple[type[Call], ...] = (ScheduleEvent, ManageDelayedEvent, SendDelayedEvent, PruneDelayedEvents)
