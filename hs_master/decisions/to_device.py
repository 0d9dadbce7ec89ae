"""Deciding on messages to devices: rows in their inboxes, in the commit that remembers the answer.

Repeated under its key a call is answered from memory, so a message comes once to each device. Who the devices are is
looked up by the statement that writes, at the very position of the message.

Spec: client-server-api/#send-to-device-messaging.
"""

from hs_common.replication.calls import Answer, SendToDevice
from hs_common.replication.items import ToDeviceItem
from hs_master import encryption_tables
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step


class SendToDeviceDecider:
    """Needs nothing from memory, so that many of one sender go into one batch, in their order."""

    def queue(self, call: SendToDevice) -> str:
        return f"to device {call.sender}"

    def rooms(self, call: SendToDevice) -> list[str]:
        return []

    def needs(self, call: SendToDevice, knowledge: Knowledge) -> list[Needs]:
        return []

    def decide(self, call: SendToDevice, step: Step) -> Answer:
        if not any(call.messages.values()):
            return Answer(pos=step.pos)
        told = {user_id: step.services.told_of_devices(user_id) for user_id in call.messages}
        services = sorted({service_id for services in told.values() for service_id in services})
        devices_of = {user_id: sorted(devices) for user_id, devices in call.messages.items()}
        pos = step.item(ToDeviceItem(devices_of, services))
        for user_id, devices in call.messages.items():
            for service_id in told[user_id]:
                step.row(encryption_tables.SERVICE_TO_DEVICE, service_id, pos, user_id)
            for device_id, message in devices.items():
                step.row(encryption_tables.INBOX, user_id, device_id, pos, message.decode())
            step.row(encryption_tables.INBOX_TRIM, user_id)
        return Answer(pos=pos)
