"""Messages from client to client, past rooms.

Spec: client-server-api/#send-to-device-messaging.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param, missing_param
from hs_common.matrix.identifiers import are_device_ids, is_short
from hs_common.replication.keys import client_key
from hs_workers.client.encryption.messaging import Messaging

MAXIMUM_DEVICES: Final = 10_000
"""Devices named in one request; clients name some tens."""


class ToDevice:
    """Repeating a request with its transaction id sends nothing twice."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging

    @endpoint(
        "PUT",
        "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.KEYS,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid",
    )
    async def send(self, request: Request) -> Reply:
        """Sends one message to each of some devices."""
        requester, event_type, txn_id = request.requester, request.path["eventType"], request.path["txnId"]
        messages = _by_user(request.wide_json())
        device_ids = [device_id for devices in messages.values() for device_id in devices]
        if not is_short(event_type):
            raise invalid_param("The type of an event has at most 255 bytes")
        if len(device_ids) > MAXIMUM_DEVICES or not are_device_ids(device_ids):
            raise bad_json(f"`messages` must have contents by device id, at most {MAXIMUM_DEVICES}")
        path = f"/sendToDevice/{event_type}"
        key = client_key(requester.user_id, requester.transaction_scope, "PUT", path, txn_id)
        await self._messaging.send(requester.user_id, event_type, messages, key)
        return {}


def _by_user(body: dict[str, object]) -> dict[str, dict[str, object]]:
    """The contents by user and device; what they are is looked at when they are encoded."""
    messages = body.get("messages")
    if messages is None:
        raise missing_param("`messages` is missing")
    if not isinstance(messages, dict) or not all(type(devices) is dict for devices in messages.values()):
        raise bad_json("`messages` must have contents by device id, by user id")
    return messages
