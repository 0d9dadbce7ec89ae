"""Deciding on what other servers say of their users: receipts, and that devices changed.

Spec: server-server-api/#receipts, #device-management.
"""

from typing import Any

from hs_common.replication.calls import Answer
from hs_common.replication.federation_calls import WakeDestinations
from hs_common.replication.items import DestinationsItem, ReceiptItem
from hs_common.replication.remote_calls import ReceiptsTaken, RemoteDevicesChanged, SetRemoteReceipts
from hs_common.storage import master_reads
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.device_lists import change_remote_user
from hs_master.step import Step

READ = "m.read"


class SetRemoteReceiptsDecider:
    """Each user's and thread's receipt is the newest that his server told, by its time: servers have a room's events in
    different orders, so what moves forward there may move back here. Those of unknown events are left out."""

    def queue(self, call: SetRemoteReceipts) -> str:
        return f"remote receipts {call.room_id}"

    async def load(self, call: SetRemoteReceipts, db: Queries) -> tuple[Any, Any]:
        users = sorted({one.user_id for one in call.receipts})
        return (
            await master_reads.event_places(db, call.room_id, [one.event_id for one in call.receipts]),
            await master_reads.receipts_of(db, call.room_id, users, READ),
        )

    def decide(self, call: SetRemoteReceipts, step: Step, loaded: tuple[Any, Any]) -> Answer:
        places, current = loaded[0], dict(loaded[1])
        unknown = []
        for number, one in enumerate(call.receipts):
            place = places.get(one.event_id)
            if place is None:
                unknown.append(number)
                continue
            time_and_place = (one.timestamp_ms, *place)
            if current.get((one.user_id, one.thread_id), (-1, 0, 0)) >= time_and_place:
                continue
            current[(one.user_id, one.thread_id)] = time_and_place
            key = (call.room_id, one.user_id, READ, one.thread_id)
            pos = step.item(ReceiptItem(*key, one.event_id, one.timestamp_ms, *place))
            step.upsert(tables.RECEIPT, key, *key, one.event_id, *place, one.timestamp_ms, pos)
        return ReceiptsTaken(pos=step.pos, unknown=unknown)


class WakeDestinationsDecider:
    """Nothing changes; whoever sends to them hears of it."""

    def queue(self, call: WakeDestinations) -> str:
        return "destinations"

    async def load(self, call: WakeDestinations, db: Queries) -> None:
        return None

    def decide(self, call: WakeDestinations, step: Step, loaded: None) -> Answer:
        return Answer(pos=step.item(DestinationsItem(call.destinations, woken=True)))


class RemoteDevicesChangedDecider:
    def queue(self, call: RemoteDevicesChanged) -> str:
        return f"remote devices {call.users[0].user_id}" if call.users else "remote devices"

    async def load(self, call: RemoteDevicesChanged, db: Queries) -> None:
        return None

    def decide(self, call: RemoteDevicesChanged, step: Step, loaded: None) -> Answer:
        for user in call.users:
            change_remote_user(step, user.user_id, user.device_ids, cross_signing=user.cross_signing)
        return Answer(pos=step.pos)
