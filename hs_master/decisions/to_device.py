"""Deciding on messages to devices: rows in their inboxes, in the commit that remembers the answer.

Repeated under its key a call is answered from memory, so a message comes once to each device. Who the devices are is
looked up by the statement that writes, at the very position of the message.

Spec: client-server-api/#send-to-device-messaging.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from hs_common.matrix.auth_rules import domain_of
from hs_common.replication.calls import Answer
from hs_common.replication.encryption_calls import SendToDevice
from hs_common.replication.items import DestinationsItem, ToDeviceItem
from hs_master import encryption_tables, tables
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step
from hs_master.trimming import is_trimmed_at

ALL_DEVICES: Final = "*"


class SendToDeviceDecider:
    """Needs nothing from memory, so that many of one sender go into one batch, in their order."""

    def __init__(self, server_name: str) -> None:
        self._suffix = ":" + server_name

    def queue(self, call: SendToDevice) -> str:
        return f"to device {call.sender}"

    def rooms(self, call: SendToDevice) -> list[str]:
        return []

    def needs(self, call: SendToDevice, knowledge: Knowledge) -> list[Needs]:
        return []

    def decide(self, call: SendToDevice, step: Step) -> Answer:
        messages = {user_id: devices for user_id, devices in call.messages.items() if devices}
        here = {user_id: devices for user_id, devices in messages.items() if user_id.endswith(self._suffix)}
        if here:
            _deliver(step, here)
        if len(here) < len(messages):
            _send_out(step, call.sender, {user_id: messages[user_id] for user_id in messages.keys() - here.keys()})
        return Answer(pos=step.pos)


def _deliver(step: Step, messages: Mapping[str, Mapping[str, bytes]]) -> None:
    """Into the inboxes of this server's users."""
    listening = step.services.anyone_listens
    told = {user_id: step.services.told_of_devices(user_id) for user_id in messages} if listening else {}
    services = sorted({service_id for services in told.values() for service_id in services})
    devices_of = {user_id: sorted(devices) for user_id, devices in messages.items()}
    pos = step.item(ToDeviceItem(devices_of, services))
    # A room key goes to hundreds of devices: what is done for each is as little as can be.
    rows = [
        (user_id, device_id, pos, message.decode())
        for user_id, devices in messages.items()
        for device_id, message in devices.items()
        if device_id != ALL_DEVICES
    ]
    if rows:
        step.several(encryption_tables.INBOX, rows)
    for user_id, devices in messages.items():
        if ALL_DEVICES in devices:
            named = orjson.dumps(devices_of[user_id]).decode()
            step.row(encryption_tables.INBOX_OF_ALL, user_id, pos, devices[ALL_DEVICES].decode(), named)
    for user_id, service_ids in told.items():
        for service_id in service_ids:
            step.row(encryption_tables.SERVICE_TO_DEVICE, service_id, pos, user_id)
    if is_trimmed_at(pos):
        step.several(encryption_tables.INBOX_TRIM, [(user_id,) for user_id in messages])


def _send_out(step: Step, sender: str, messages: Mapping[str, Mapping[str, bytes]]) -> None:
    """One EDU for each other server. Spec: server-server-api.md#send-to-device-messaging."""
    contents: dict[str, dict[str, dict[str, Any]]] = {}
    event_type = ""
    for user_id, devices in sorted(messages.items()):
        parsed = {device_id: orjson.loads(message) for device_id, message in devices.items()}
        event_type = next(iter(parsed.values()))["type"]
        by_device = {device_id: message["content"] for device_id, message in parsed.items()}
        contents.setdefault(domain_of(user_id), {})[user_id] = by_device
    pos = step.item(DestinationsItem(list(contents)))
    for destination, its_messages in contents.items():
        content = {"sender": sender, "type": event_type, "message_id": str(pos), "messages": its_messages}
        edu = {"edu_type": "m.direct_to_device", "content": content}
        step.row(tables.OUTGOING_EDU, destination, pos, orjson.dumps(edu).decode())
