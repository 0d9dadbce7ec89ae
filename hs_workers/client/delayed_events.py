"""Delayed events: scheduling them, looking at them, sending, cancelling and restarting them.

Spec: MSC4140; the unstable paths are those that clients used before it was merged.
"""

from hs_common.federation.sending import transaction_key
from hs_common.http.endpoint import Auth, Rate, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, missing_param
from hs_workers.client.room.delaying import Delaying, Later, whole_number

msc4140 = unstable("org.matrix.msc4140")


class DelayedEventsEndpoints:
    """The events are the user's own; anybody else finds none."""

    def __init__(self, delaying: Delaying) -> None:
        self._delaying = delaying

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/delayed_event/{eventType}/{txnId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        aliases=(msc4140,),
        spec="MSC4140",
    )
    async def schedule(self, request: Request) -> Reply:
        """Schedules an event."""
        path, body = request.path, request.body(dict)
        room_id, event_type = path["roomId"], path["eventType"]
        if "delay_ms" not in body or "content" not in body:
            raise missing_param("`delay_ms` and `content` are required")
        delay_ms = whole_number(body["delay_ms"], "delay_ms")
        self._delaying.check_delay(delay_ms)
        content, state_key = body["content"], body.get("state_key")
        if not isinstance(content, dict) or not isinstance(state_key, str | None):
            raise bad_json("`content` must be an object, and `state_key` a string if it is there")
        key = transaction_key(request.requester, f"/rooms/{room_id}/delayed_event/{event_type}", path["txnId"])
        event = Later(room_id, event_type, content, state_key)
        return {"delay_id": await self._delaying.schedule(request, event, delay_ms, key)}

    @endpoint(
        "POST",
        "/_matrix/client/v1/delayed_events/{delayId}/{action}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        aliases=(msc4140,),
        spec="MSC4140",
    )
    async def act(self, request: Request) -> Reply:
        """Sends, cancels or restarts."""
        await self._delaying.act(request.requester, request.path["delayId"], request.path["action"])
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.MESSAGE,
        spec="MSC4140",
    )
    async def act_by_body(self, request: Request) -> Reply:
        """The same in the older form, with the action in the body."""
        action = request.json().get("action")
        if not isinstance(action, str):
            raise missing_param("`action` is required")
        await self._delaying.act(request.requester, request.path["delayId"], action)
        return {}

    @endpoint(
        "GET",
        "/_matrix/client/v1/delayed_events/{delayId}",
        auth=Auth.USER_OR_GUEST,
        reads=False,
        aliases=(msc4140,),
        spec="MSC4140",
    )
    async def one(self, request: Request) -> Reply:
        """An event, scheduled or finalised."""
        return await self._delaying.one(request.requester.user_id, request.path["delayId"])

    @endpoint(
        "GET",
        "/_matrix/client/v1/delayed_events",
        auth=Auth.USER_OR_GUEST,
        reads=False,
        aliases=(msc4140,),
        spec="MSC4140",
    )
    async def scheduled(self, request: Request) -> Reply:
        """All scheduled events; with the names that older clients know."""
        found = await self._delaying.scheduled(request.requester.user_id)
        older = [{**one, "delay": one["delay_ms"], "running_since": one["delayed_since_ts"]} for one in found]
        return {"delayed_events": older}
