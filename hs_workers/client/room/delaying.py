"""Events that are sent later: checked as far as that can be done beforehand, and handed to the master.

Spec: MSC4140, "Scheduling a delayed event".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.config.limits import Limits
from hs_common.http.request import Request, Requester
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, invalid_param, not_found
from hs_common.replication.delayed_calls import EventScheduled, ManageDelayedEvent, ScheduleEvent, SendDelayedEvent
from hs_common.replication.link_interface import Link
from hs_common.storage import delayed_events
from hs_common.storage.delayed_events import DelayedEvent
from hs_common.storage.queries import Queries
from hs_workers.client.massaged import timestamp_of
from hs_workers.client.room.event_content import check_content, check_type
from hs_workers.client.room.redacting import REDACTION

DELAY_PARAMETER: Final = "org.matrix.msc4140.delay"
LARGEST: Final = 2**53 - 1
# Other memberships need somebody else's signature, or are checked when they are asked for.
MEMBERSHIPS: Final = ("leave", "ban")


@dataclass(frozen=True, slots=True)
class Later:
    """An event to be sent. `state_key` None: it is no state event."""

    room_id: str
    type: str
    content: dict[str, Any]
    state_key: str | None = None


class Delaying:
    """What users do with delayed events."""

    def __init__(self, db: Queries, master: Link, limits: Limits, random: Callable[[int], bytes]) -> None:
        self._db = db
        self._master = master
        self._limits = limits
        self._random = random

    async def schedule(self, request: Request, event: Later, delay_ms: int, key: bytes | None) -> str:
        """The delay's id. 403 `M_FORBIDDEN` for a longer delay than is allowed, 429 if too many are scheduled."""
        requester = request.requester
        if requester.suspended:
            raise MatrixError(403, "M_USER_SUSPENDED", "This account has been suspended and cannot send messages")
        if self._limits.delayed_events_of_user == 0:
            raise forbidden("Delayed events are turned off on this server")
        check_content(event.content)
        call = ScheduleEvent(
            delay_id=self._random(16).hex(),
            user_id=requester.user_id,
            room_id=event.room_id,
            type=check_type(event.type),
            content=event.content,
            delay_ms=delay_ms,
            maximum=self._limits.delayed_events_of_user,
            state_key=None if event.state_key is None else check_type(event.state_key),
            redacts=_checked(event),
            timestamp_ms=timestamp_of(request),
            device_id=requester.device_id,
        )
        answer = await self._master.call(call, key)
        assert isinstance(answer, EventScheduled)
        return answer.delay_id

    def check_delay(self, delay_ms: int) -> None:
        """Raises M_FORBIDDEN, M_INVALID_PARAM."""
        if delay_ms <= 0:
            raise invalid_param("The delay must be a positive number of milliseconds")
        if delay_ms > self._limits.delayed_event_longest_ms:
            raise forbidden(f"Events can be delayed by at most {self._limits.delayed_event_longest_ms} ms here")

    def delay_of_query(self, request: Request) -> int | None:
        """The delay that the older form has in the query; None if the event is to be sent now."""
        delay_ms = request.query.integer(DELAY_PARAMETER, None)
        longest = self._limits.delayed_event_longest_ms
        if delay_ms is not None and delay_ms > longest:
            fields = {"org.matrix.msc4140.errcode": "M_MAX_DELAY_EXCEEDED", "org.matrix.msc4140.max_delay": longest}
            raise MatrixError(400, "M_UNKNOWN", f"Events can be delayed by at most {longest} ms here", fields)
        if delay_ms is not None:
            self.check_delay(delay_ms)
        return delay_ms

    async def act(self, requester: Requester, delay_id: str, action: str) -> None:
        """Sends, cancels or restarts. 404, 409, or what refuses the event."""
        user_id = requester.user_id
        if action == "send":
            await self._master.call(SendDelayedEvent(delay_id=delay_id, user_id=user_id))
        elif action == "cancel":
            await self._master.call(ManageDelayedEvent(delay_id=delay_id, user_id=user_id, action="cancel"))
        elif action == "restart":
            await self._master.call(ManageDelayedEvent(delay_id=delay_id, user_id=user_id, action="restart"))
        else:
            raise invalid_param("The action must be send, cancel or restart")

    async def one(self, user_id: str, delay_id: str) -> dict[str, Any]:
        """A delayed event of the user. 404."""
        event = await delayed_events.delayed_event(self._db, delay_id)
        if event is None or event.user_id != user_id:
            raise not_found("There is no delayed event with this id")
        return described(event)

    async def scheduled(self, user_id: str) -> list[dict[str, Any]]:
        """The user's scheduled events, in the order in which they will be sent."""
        found = await delayed_events.scheduled_by(self._db, user_id, self._limits.delayed_events_of_user)
        return [described(event) for event in found]


def described(event: DelayedEvent) -> dict[str, Any]:
    """As clients get it; also by names that the proposal had before, which clients still read."""
    told: dict[str, Any] = {
        "delay_id": event.delay_id,
        "room_id": event.room_id,
        "type": event.type,
        "delay_ms": event.delay_ms,
        "scheduled_at": event.since_ms,
        "delayed_since_ts": event.since_ms,
        "content": orjson.loads(event.content),
    }
    if event.state_key is not None:
        told["state_key"] = event.state_key
    if event.finalised_ms is not None:
        outcome: dict[str, Any] = {"finalised_ts": event.finalised_ms}
        if event.event_id is not None:
            outcome["event_id"] = event.event_id
        if event.error is not None:
            outcome["error"] = orjson.loads(event.error)
        told |= {**outcome, "finalised": outcome}
    return told


def _checked(event: Later) -> str | None:
    """What a redaction redacts. Raises what refuses events that cannot be sent later."""
    if event.type == "m.room.create":
        raise forbidden("A room is created once")
    if event.type == "m.room.member" and event.content.get("membership") not in MEMBERSHIPS:
        raise forbidden("Of memberships only leaving and banning can be delayed")
    if event.type != REDACTION or event.state_key is not None:
        return None
    target = event.content.pop("redacts", None)
    if not isinstance(target, str):
        raise bad_json("`redacts` must be the id of an event")
    return target


def whole_number(value: Any, name: str) -> int:
    """A field of a body that must be there and be a whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
        raise bad_json(f"`{name}` must be a whole number")
    return value
