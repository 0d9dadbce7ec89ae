"""Importing a room's history, as bridges of mautrix-go do where `com.beeper.batch_sending` is advertised.

Spec: none; the request is `ReqBeeperBatchSend` of mautrix-go.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.accounts.json_fields import boolean, optional_string
from hs_workers.client.room.importing import Importing, parsed


class BatchSending:
    """For application services alone."""

    def __init__(self, importing: Importing) -> None:
        self._importing = importing

    @endpoint(
        "POST",
        "/_matrix/client/unstable/com.beeper.backfill/rooms/{roomId}/batch_send",
        auth=Auth.USER,
        rate=Rate.MESSAGE,
        spec="client-server-api/#room-events",
    )
    async def send(self, request: Request) -> Reply:
        """Puts events before or behind the others of a room; the oldest comes first in both cases."""
        requester, body = request.requester, request.json()
        if requester.app_service_id is None:
            raise forbidden("Only application services can import history")
        room_id = check_room_id(request.path["roomId"])
        forward, if_no_messages = boolean(body, "forward"), boolean(body, "forward_if_no_messages")
        notify, reader = boolean(body, "send_notification"), optional_string(body, "mark_read_by")
        events = parsed(body.get("events"))
        if any(one.get("room_id") not in (None, "", room_id) for one in body["events"]):
            raise bad_json("An event names another room")
        await self._importing.check(room_id, requester, events)
        if await self._importing.goes_forward(room_id, forward=forward, if_no_messages=if_no_messages):
            event_ids = await self._importing.forward(room_id, events, notify=notify)
        else:
            event_ids = await self._importing.backward(room_id, events)
        if reader:
            await self._importing.mark_read(room_id, reader, event_ids[-1])
        return {"event_ids": event_ids}
