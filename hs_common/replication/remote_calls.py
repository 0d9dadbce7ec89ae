"""The calls about users of other servers: what they have read, whether they are there, that their devices changed.

Rules: whoever calls has made sure that the users are of the server that says so. Every call may be repeated.
Spec: server-server-api.md#edus.
"""

from typing import ClassVar

import msgspec

from hs_common.replication.call import Answer, Call


class RemoteReceipt(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    event_id: str
    thread_id: str = ""  # '' unthreaded, 'main', or a thread root
    timestamp_ms: int


class ReceiptsTaken(Answer, frozen=True, kw_only=True):
    unknown: list[int]  # places of the receipts whose event is not in the room's timeline: nothing was done


class SetRemoteReceipts(Call, frozen=True, kw_only=True):
    """Move the public receipts of users of other servers in one room. Receipts never go back in a thread."""

    answer: ClassVar[type[Answer]] = ReceiptsTaken
    room_id: str
    receipts: list[RemoteReceipt]


class RemotePresence(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    presence: str
    last_active_ago_ms: int
    currently_active: bool = False
    status_msg: str | None = None


class SetRemotePresence(Call, frozen=True, kw_only=True):
    """What other servers say of their users' presence. It holds for long, as they say nothing while nothing changes."""

    updates: list[RemotePresence]


class RemoteDevices(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    device_ids: list[str]  # empty: any of them
    cross_signing: bool = False  # the master or self-signing key changed


class RemoteDevicesChanged(Call, frozen=True, kw_only=True):
    """The cached device lists or keys of users of other servers have changed, so readers are told."""

    users: list[RemoteDevices]


REMOTE_CALLS: tuple[type[Call], ...] = (SetRemoteReceipts, SetRemotePresence, RemoteDevicesChanged)
