"""The lane of what concerns devices: messages to those of a service's users, device lists and key counts.

Rules: messages and device lists are read from the database, from a cursor of their own, so none is missed however long
a service was away; what is heard from the log only says when to look. Key counts are values, counted when a hint comes
and anew by each process that begins to send. A service hears of messages if it wants ephemeral events or device news,
of the rest only if it wants device news.

Spec: MSC4203 (messages to devices), MSC3202 (device lists and key counts).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from hs_common.matrix.appservice import Services
from hs_common.replication.ephemeral import KeyCounts
from hs_common.replication.items import CrossSigningItem, DevicesItem, ToDeviceItem
from hs_common.storage import service_devices
from hs_common.storage.queries import Queries, Row

MESSAGES_LIMIT: Final = 100
"""Calls of one transaction; a call may have messages to several devices."""
HINTS_LIMIT: Final = 1_000
"""Devices of one service whose keys wait to be counted; beyond it all are."""
NO_KEYS: Final = {"signed_curve25519": 0}
"""Bridges take a missing count for "the server does not say"."""
MEMBER: Final = '"m.room.member"'

NAMES: Final = {
    "device_lists": ("device_lists", "org.matrix.msc3202.device_lists"),
    "device_one_time_keys_count": (
        "device_one_time_keys_count",
        "org.matrix.msc3202.device_one_time_keys_count",
        "org.matrix.msc3202.device_one_time_key_counts",
    ),
    "device_unused_fallback_key_types": (
        "device_unused_fallback_key_types",
        "org.matrix.msc3202.device_unused_fallback_key_types",
    ),
}
"""Under which names a transaction has each of them: bridges read one or the other."""
MESSAGES_NAMES: Final = ("to_device", "de.sorunome.msc2409.to_device")

Device = tuple[str, str]


class DeviceNews(NamedTuple):
    """What a transaction tells of devices up to a position; `lists` is a JSON object, None if there is nothing."""

    upto: int
    lists: str | None
    messages: list[bytes]

    def __bool__(self) -> bool:
        return self.lists is not None or bool(self.messages)


class _Service:
    """What has been heard for one service. `devices` None: count the keys of all."""

    __slots__ = ("devices", "is_news")

    def __init__(self) -> None:
        self.is_news = True
        self.devices: set[Device] | None = None


class DeviceLane:
    """`sent_to` are the services that are sent to from here."""

    def __init__(self, db: Queries, services: Callable[[], Services], sent_to: Callable[[], Iterable[str]]) -> None:
        self._db = db
        self._services = services
        self._sent_to = sent_to
        self._known: dict[str, _Service] = {}

    # --- what is heard ------------------------------------------------------------------------------------------------

    def heard(self, told: KeyCounts | ToDeviceItem | DevicesItem | CrossSigningItem) -> list[str]:
        """The services that may have something new."""
        if isinstance(told, ToDeviceItem):
            return self._note(told.services)
        wanting = [service_id for service_id in self._sent_to() if self._wants_news(service_id)]
        if not isinstance(told, KeyCounts):
            return self._note(wanting)  # who of them shares a room with the user is looked up
        services = self._services()
        owning = [one for one in wanting if (service := services.get(one)) and service.has_user(told.user_id)]
        for service_id in owning:
            self._hint(service_id, (told.user_id, told.device_id))
        return self._note(owning)

    def look(self, service_id: str) -> None:
        """Something may have been missed."""
        self._of(service_id).is_news = True

    def forget(self, service_id: str) -> None:
        """It is not sent to from here any more."""
        self._known.pop(service_id, None)

    def _note(self, service_ids: Iterable[str]) -> list[str]:
        noted = [service_id for service_id in service_ids if service_id in self._known]
        for service_id in noted:
            self._known[service_id].is_news = True
        return noted

    def _hint(self, service_id: str, device: Device) -> None:
        known = self._known.get(service_id)
        if known is not None and known.devices is not None:
            known.devices.add(device)
            if len(known.devices) > HINTS_LIMIT:
                known.devices = None

    def _of(self, service_id: str) -> _Service:
        return self._known.setdefault(service_id, _Service())

    def _wants_news(self, service_id: str) -> bool:
        service = self._services().get(service_id)
        return service is not None and service.registration.device_news

    # --- what is told -------------------------------------------------------------------------------------------------

    async def next(self, service_id: str, after: int, events: Sequence[Row]) -> DeviceNews:
        """What there is above a position, for a transaction with these events (rows of `service_queue.events`)."""
        service, known = self._services().get(service_id), self._of(service_id)
        if service is None or not service.hears_devices:
            return DeviceNews(after, None, [])
        wants_news = service.registration.device_news
        moves = [(row[0], row[2]) for row in events if MEMBER in row[6]] if wants_news else []
        if not known.is_news and not moves:
            return DeviceNews(after, None, [])
        known.is_news = False
        upto, has_messages, is_cut = await service_devices.window(self._db, service_id, after, MESSAGES_LIMIT)
        messages = await service_devices.messages(self._db, service_id, after, upto) if has_messages else []
        lists = await self._lists(service_id, known, after, upto, moves, messages) if wants_news else {}
        known.is_news = known.is_news or is_cut
        encoded = orjson.dumps(lists).decode() if lists else None
        return DeviceNews(upto, encoded, [_message(row) for row in messages])

    async def messages(self, service_id: str, after: int, upto: int) -> list[bytes]:
        """The messages of a transaction that is under way; what was fetched otherwise meanwhile is not among them."""
        if upto <= after:
            return []
        return [_message(row) for row in await service_devices.messages(self._db, service_id, after, upto)]

    async def _lists(
        self,
        service_id: str,
        known: _Service,
        after: int,
        upto: int,
        moves: list[tuple[int, str]],
        messages: list[Row],
    ) -> dict[str, Any]:
        changed = await service_devices.changed_devices(self._db, service_id, after, upto)
        left: set[str] = set()
        if moves:
            came, left = await self._moved(service_id, moves)
            changed |= came
            left -= changed
        lists: dict[str, Any] = {}
        if changed or left:
            lists["device_lists"] = {"changed": sorted(changed), "left": sorted(left)}
        return lists | await self._counts(service_id, known, {(row[0], row[1]) for row in messages})

    async def _moved(self, service_id: str, moves: list[tuple[int, str]]) -> tuple[set[str], set[str]]:
        """Who came, and who is gone. Of one who came and went in the same transaction, where he is now decides."""
        positions, room_ids = [pos for pos, _ in moves], [room_id for _, room_id in moves]
        rows = await service_devices.came_and_went(self._db, positions, room_ids)
        came = {user_id for _, user_id, is_join in rows if is_join}
        entered = await service_devices.rooms_entered(self._db, service_id, positions, room_ids)
        if entered:
            came |= await service_devices.members_with_devices(self._db, entered)
        left = {user_id for _, user_id, is_join in rows if not is_join}
        if left:
            left -= await service_devices.still_shared(self._db, service_id, sorted(left))
        return came - left, left

    async def _counts(self, service_id: str, known: _Service, addressed: set[Device]) -> dict[str, Any]:
        hinted, known.devices = known.devices, set()
        if hinted is None:
            devices = await service_devices.devices_with_keys(self._db, service_id)
        else:
            wanted = sorted(hinted | addressed)
            devices = await service_devices.own_devices(self._db, service_id, wanted) if wanted else []
        if not devices:
            return {}
        counts: dict[str, dict[str, dict[str, int]]] = {}
        fallback: dict[str, dict[str, list[str]]] = {}
        for user_id, device_id in devices:
            counts.setdefault(user_id, {})[device_id] = dict(NO_KEYS)
            fallback.setdefault(user_id, {})[device_id] = []
        for user_id, device_id, algorithm, number in await service_devices.key_states(self._db, devices):
            if number is None:
                fallback[user_id][device_id].append(algorithm)
            else:
                counts[user_id][device_id][algorithm] = number
        return {"device_one_time_keys_count": counts, "device_unused_fallback_key_types": fallback}


def fields(lists: str | None, messages: Sequence[bytes]) -> bytes:
    """The part of a transaction's body, each field with a comma in front."""
    parts = []
    if messages:
        listed = b"[" + b",".join(messages) + b"]"
        parts += [_field(name, listed) for name in MESSAGES_NAMES]
    if lists is not None:
        for known, value in orjson.loads(lists).items():
            encoded = orjson.dumps(value)
            parts += [_field(name, encoded) for name in NAMES[known]]
    return b"".join(parts)


def _field(name: str, value: bytes) -> bytes:
    return b',"' + name.encode() + b'":' + value


def _message(row: Row) -> bytes:
    user_id, device_id, message = row
    return orjson.dumps({**orjson.loads(message), "to_user_id": user_id, "to_device_id": device_id})
