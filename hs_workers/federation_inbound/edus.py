"""What transactions carry beside events: typing, receipts, presence, messages to devices, device lists.

Rules: a server speaks for its own users only, and of rooms only for those that are in them; access control lists apply.
What is malformed or not allowed is ignored, as the specification has no errors for it. Each kind fails by itself; only
what must not be lost (messages to devices, device lists) makes the whole transaction come again when it cannot be kept.

Spec: server-server API, #edus and the sections of each kind.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from twisted.logger import Logger

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of, is_device_id, is_room_id, is_short, is_user_id
from hs_common.replication.calls import SetTyping
from hs_common.replication.encryption_calls import SendToDevice
from hs_common.replication.keys import server_key
from hs_common.replication.link_interface import CallOptions, Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.device_updates import DeviceUpdates
from hs_workers.federation_inbound.remote_presence import RemotePresences, pushes
from hs_workers.federation_inbound.remote_receipts import RemoteReceipts
from hs_workers.federation_inbound.room_admission import RoomAdmission

TYPING_MS: Final = 30_000
"""For how long a user elsewhere types unless his server says so again; it says it too when he stops."""
MAXIMUM_MESSAGES: Final = 1_000
"""To devices, of one EDU: rooms with more devices of one server are rare, and senders split what they send."""
MAXIMUM_MESSAGE_BYTES: Final = 65_536
"""Of one message, as for events."""

Content = Mapping[str, Any]

_log = Logger()


class EduReception:
    """Applies the EDUs of a transaction. `server_name` is this server's."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        admission: RoomAdmission,
        receipts: RemoteReceipts,
        presences: RemotePresences,
        devices: DeviceUpdates,
        server_name: str,
    ) -> None:
        self._db = db
        self._master = master
        self._admission = admission
        self._server_name = server_name
        self._receipts = receipts
        self._kinds: dict[str, Callable[[str, list[Content]], Awaitable[None]]] = {
            "m.direct_to_device": self._to_device,
            "m.device_list_update": devices.update,
            "m.signing_key_update": devices.update_signing_keys,
            # An older name, under which some servers still send it.
            "org.matrix.signing_key_update": devices.update_signing_keys,
            "m.typing": self._typing,
            "m.receipt": self._receipt,
            "m.presence": presences.take,
        }
        self._must_be_kept = ("m.direct_to_device", "m.device_list_update", "m.signing_key_update")

    async def apply(self, origin: str, edus: Sequence[Any]) -> int:
        """How often the server spoke for users who are not its own, which no honest one does. Raises MatrixError where
        what must not be lost cannot be kept now."""
        by_kind: dict[str, list[Content]] = {}
        for edu in edus:
            if isinstance(edu, dict) and isinstance(edu.get("content"), dict):
                kind = edu.get("edu_type") or edu.get("type")
                if isinstance(kind, str) and kind in self._kinds:
                    by_kind.setdefault(kind, []).append(edu["content"])
        for kind in self._kinds:
            if kind in by_kind:
                await self._apply_kind(origin, kind, by_kind[kind])
        told = (user_id for kind, contents in by_kind.items() for one in contents for user_id in _users_of(kind, one))
        return sum(not is_user_id(user_id) or domain_of(user_id) != origin for user_id in told)

    async def _apply_kind(self, origin: str, kind: str, contents: list[Content]) -> None:
        try:
            await self._kinds[kind](origin, contents)
        except MatrixError as error:
            if kind in self._must_be_kept:
                raise
            _log.warn("{kind} of {origin} is dropped: {error}", kind=kind, origin=origin, error=error)

    # --- to devices -------------------------------------------------------------------------------------------------

    async def _to_device(self, origin: str, contents: list[Content]) -> None:
        for content in contents:
            call = self._message(origin, content)
            if call is not None:
                key = server_key(origin, "m.direct_to_device", content["message_id"])
                await self._master.call(call, key, CallOptions(lane="federation", origin=origin))

    def _message(self, origin: str, content: Content) -> SendToDevice | None:
        sender, kind, message_id = content.get("sender"), content.get("type"), content.get("message_id")
        if not is_user_id(sender) or domain_of(sender) != origin:
            return None
        if not (isinstance(kind, str) and is_short(kind) and isinstance(message_id, str)):
            return None
        messages: dict[str, dict[str, bytes]] = {}
        left = MAXIMUM_MESSAGES
        for user_id, devices in _items(content.get("messages")):
            if not is_user_id(user_id) or domain_of(user_id) != self._server_name:
                continue
            for device_id, body in _items(devices):
                encoded = _encoded_message(sender, kind, body) if is_device_id(device_id) and left > 0 else None
                if encoded is not None:
                    messages.setdefault(user_id, {})[device_id] = encoded
                    left -= 1
        return SendToDevice(sender=sender, messages=messages) if messages else None

    # --- in rooms ---------------------------------------------------------------------------------------------------

    async def _typing(self, origin: str, contents: list[Content]) -> None:
        latest: dict[tuple[str, str], bool] = {}
        for content in contents:
            room_id, user_id = content.get("room_id"), content.get("user_id")
            if is_room_id(room_id) and is_user_id(user_id) and domain_of(user_id) == origin:
                latest[(room_id, user_id)] = content.get("typing") is True
        for room_id, user_id in await self._present(origin, list(latest)):
            timeout_ms = TYPING_MS if latest[(room_id, user_id)] else 0
            await self._master.call(SetTyping(room_id=room_id, user_id=user_id, timeout_ms=timeout_ms))

    async def _receipt(self, origin: str, contents: list[Content]) -> None:
        receipts = [one for content in contents for one in self._receipts.parse(content, origin)]
        pairs = [*dict.fromkeys((one.room_id, one.user_id) for one in receipts)]
        present = set(await self._present(origin, pairs))
        await self._receipts.take([one for one in receipts if (one.room_id, one.user_id) in present])

    async def _present(self, origin: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the (room, user) who are in the room, which we are in and the server may take part in."""
        if not pairs:
            return []
        standings = await self._admission.standings({room_id for room_id, _ in pairs}, origin)
        open_to = [pair for pair in pairs if standings[pair[0]].joined and standings[pair[0]].allows(origin)]
        memberships = await federated_rooms.memberships(self._db, open_to)
        return [pair for pair in open_to if memberships.get(pair) == "join"]


def _users_of(kind: str, content: Content) -> list[Any]:
    """For whom an EDU speaks; receipts are not looked into for it."""
    if kind == "m.presence":
        return [one.get("user_id") for one in pushes(content) if isinstance(one, dict)]
    if kind == "m.receipt":
        return []
    return [content.get("sender" if kind == "m.direct_to_device" else "user_id")]


def _encoded_message(sender: str, kind: str, body: object) -> bytes | None:
    if not isinstance(body, dict):
        return None
    try:
        canonical_json.check(body, refuse_nul=True)
    except MatrixError:
        return None
    encoded = orjson.dumps({"type": kind, "sender": sender, "content": body})
    return encoded if len(encoded) <= MAXIMUM_MESSAGE_BYTES else None


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []
