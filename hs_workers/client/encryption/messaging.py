"""Messages to devices are handed to the master, exactly once for each transaction id.

A room key goes to hundreds of devices in one request, so each message is looked at and encoded in one go.

Spec: client-server-api/#send-to-device-messaging.
"""

from collections.abc import Callable, Mapping
from typing import Final

import orjson

from hs_common.http.request import JSON_DEPTH_LIMIT, is_deeper
from hs_common.matrix.errors import bad_json
from hs_common.replication.encryption_calls import SendToDevice
from hs_common.replication.link_interface import Link
from hs_workers.client.encryption.local_users import check_user_ids

_OUTER_LEVELS: Final = 3
"""Around each content in the request: the body, its messages, those of a user."""


class Messaging:
    """Sends to devices of users here and elsewhere."""

    def __init__(self, master: Link) -> None:
        self._master = master

    async def send(
        self, sender: str, event_type: str, messages: Mapping[str, Mapping[str, object]], key: bytes
    ) -> None:
        """Contents by user and device (`*`: all devices of the user). What was sent under `key` is not sent again.

        Raises M_INVALID_PARAM for what is no user id, M_BAD_JSON for what is no content.
        """
        check_user_ids(messages)
        message = _messages(sender, event_type)
        call = SendToDevice(
            sender=sender,
            messages={
                user_id: {device_id: message(content) for device_id, content in devices.items()}
                for user_id, devices in messages.items()
            },
        )
        await self._master.call(call, key)


def _messages(sender: str, event_type: str) -> Callable[[object], bytes]:
    """What makes the JSON of a message from its content, as parsed."""
    beginning = orjson.dumps({"type": event_type, "sender": sender})[:-1] + b',"content":'
    dumps, limit = orjson.dumps, JSON_DEPTH_LIMIT - _OUTER_LEVELS

    def message(content: object) -> bytes:
        if type(content) is not dict:
            raise bad_json("The content of a message must be a JSON object")
        try:
            encoded = dumps(content)
        except orjson.JSONEncodeError as error:  # it is nested deeper than the encoder goes
            raise bad_json(f"The body is nested deeper than {JSON_DEPTH_LIMIT} levels") from error
        if encoded.count(b"{") + encoded.count(b"[") > limit and is_deeper(content, limit):
            raise bad_json(f"The body is nested deeper than {JSON_DEPTH_LIMIT} levels")
        return beginning + encoded + b"}"

    return message
