"""Messages to devices are handed to the master, exactly once for each transaction id.

Spec: client-server-api/#send-to-device-messaging.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.replication.calls import SendToDevice
from hs_common.replication.link_interface import Link
from hs_workers.client.encryption.local_users import by_server


class Messaging:
    """Sends to devices of this server's users."""

    def __init__(self, master: Link, server_name: str) -> None:
        self._master = master
        self._server_name = server_name

    async def send(self, sender: str, event_type: str, messages: Mapping[str, Mapping[str, Any]], key: bytes) -> None:
        """Contents by user and device (`*`: all devices of the user). What was sent under `key` is not sent again."""
        local, _ = by_server(messages, self._server_name)
        call = SendToDevice(
            sender=sender,
            messages={
                user_id: {
                    device_id: orjson.dumps({"type": event_type, "sender": sender, "content": content})
                    for device_id, content in messages[user_id].items()
                }
                for user_id in local
            },
        )
        await self._master.call(call, key)
