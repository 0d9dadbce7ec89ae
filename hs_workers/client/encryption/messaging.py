"""Messages to devices are handed to the master, exactly once for each transaction id.

Spec: client-server-api/#send-to-device-messaging.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.replication.calls import SendToDevice
from hs_common.replication.link_interface import Link
from hs_workers.client.encryption.local_users import check_user_ids


class Messaging:
    """Sends to devices of users here and elsewhere."""

    def __init__(self, master: Link) -> None:
        self._master = master

    async def send(self, sender: str, event_type: str, messages: Mapping[str, Mapping[str, Any]], key: bytes) -> None:
        """Contents by user and device (`*`: all devices of the user). What was sent under `key` is not sent again."""
        check_user_ids(messages)
        call = SendToDevice(
            sender=sender,
            messages={
                user_id: {
                    device_id: orjson.dumps({"type": event_type, "sender": sender, "content": content})
                    for device_id, content in devices.items()
                }
                for user_id, devices in messages.items()
            },
        )
        await self._master.call(call, key)
