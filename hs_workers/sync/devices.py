"""What an answer tells a device about itself: messages to it, and how many of its keys wait to be claimed.

Rules. A message is deleted when a token is presented with whose answer it was told, and not before: the token's second
number is the position of the last message told. Messages that were told are read anew when they are asked for again:
another worker may have been shown the next token meanwhile, and has deleted them. What is known of a device is kept in
memory and kept up from the log, so that a poll without messages costs no statement; only at this process' own position
is it relied on.
Key counts are written by other workers, who send a hint; without one they are counted again after a while.

Spec: client-server-api/#send-to-device-messaging, #e2e-extensions-to-sync.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from hs_common.matrix.tokens import SyncToken
from hs_common.replication.items import ToDeviceItem
from hs_common.storage import inbox, one_time_keys
from hs_common.storage.inbox import Message
from hs_common.storage.queries import Queries
from hs_workers.sync.answer import Parts
from hs_workers.sync.parameters import Reader

# Messages in one answer. Spec: #send-to-device-messaging, server behaviour.
MAXIMUM_MESSAGES: Final = 100
MAXIMUM_DEVICES: Final = 20_000  # of one worker; each costs some hundred bytes, and messages while they wait
COUNTS_KEPT_S: Final = 60.0
# Clients take a missing count for "the server does not say".
NO_KEYS: Final[Mapping[str, int]] = {"signed_curve25519": 0}
ALL_DEVICES: Final = "*"


class DeviceNews(NamedTuple):
    """What one answer tells a device."""

    messages: Sequence[Message] = ()
    one_time_keys: Mapping[str, int] = MappingProxyType({})
    fallback_keys: Sequence[str] = ()
    counts_changed: bool = False

    def next_number(self, since: SyncToken | None) -> int:
        """The second number of the next token."""
        came_with = 0 if since is None else since.to_device
        return self.messages[-1].pos if self.messages else came_with

    def add_to(self, parts: Parts) -> None:
        """What an answer tells of it."""
        parts.to_device = [orjson.Fragment(one.json) for one in self.messages]
        parts.one_time_keys, parts.fallback_keys = self.one_time_keys, self.fallback_keys
        parts.is_news = self.counts_changed


NOTHING: Final = DeviceNews()


@dataclass(frozen=True, slots=True)
class _Reading:
    """The inbox as it was read: nothing up to `received`, then these messages up to `upto`."""

    received: int
    upto: int
    messages: Sequence[Message]
    is_cut: bool  # there are more


@dataclass(frozen=True, slots=True)
class _Counts:
    one_time: Mapping[str, int]
    fallback: Sequence[str]


class _Device:
    """What is known of one device. `arrived` is the last position at which a message may have come; `is_read_out`: the
    messages of `reading` were told."""

    __slots__ = ("arrived", "counted_at", "counts", "is_read_out", "reading", "told")

    def __init__(self, position: int) -> None:
        self.arrived = position
        self.reading: _Reading | None = None
        self.is_read_out = False
        self.counts: _Counts | None = None
        self.counted_at: float | None = None
        self.told: _Counts | None = None


class Devices:
    """The devices that sync here."""

    def __init__(self, db: Queries, position: Callable[[], int], seconds: Callable[[], float]) -> None:
        """`position` is that of this process; `seconds` a clock that never goes back."""
        self._db = db
        self._position = position
        self._seconds = seconds
        self._known: OrderedDict[tuple[str, str], _Device] = OrderedDict()
        self._of_user: dict[str, set[str]] = {}

    def from_memory(self, reader: Reader, since: SyncToken) -> DeviceNews | None:
        """What there is to tell now; None if that has to be read."""
        if reader.device_id is None:
            return NOTHING
        device = self._of_known(reader.user_id, reader.device_id, since.to_device)
        if device is None:
            return None
        reading, counts = device.reading, device.counts
        assert reading is not None, "it is known"
        assert counts is not None, "it is known"
        self._known.move_to_end((reader.user_id, reader.device_id))
        return _news(device, reading, counts)

    def unchanged(self, reader: Reader, since: SyncToken) -> DeviceNews | None:
        """The same for who may not answer in the end: None also if the counts of keys would count as told by it."""
        if reader.device_id is None:
            return NOTHING
        device = self._of_known(reader.user_id, reader.device_id, since.to_device)
        if device is None or device.told is None:
            return None
        if device.told is not device.counts and device.told != device.counts:
            return None
        assert device.reading is not None, "it is known"
        device.is_read_out = bool(device.reading.messages)
        return DeviceNews(device.reading.messages, device.told.one_time, device.told.fallback)

    async def refresh(self, reader: Reader, since: SyncToken, upto: int) -> None:
        """Reads what is not known, up to a position; what the token says was received is deleted."""
        if reader.device_id is not None and not self._of_known(reader.user_id, reader.device_id, since.to_device):
            await self._read(reader.user_id, reader.device_id, since.to_device, upto)

    async def read(self, reader: Reader, since: SyncToken | None, upto: int, *, count: bool = False) -> DeviceNews:
        """What there is to tell at a position; what the token says was received is deleted.

        `count`: also if the keys were counted lately.
        """
        if reader.device_id is None:
            return NOTHING
        received = 0 if since is None else since.to_device
        device, reading, counts = await self._read(reader.user_id, reader.device_id, received, upto, count)
        return _news(device, reading, counts)

    # --- what happens -------------------------------------------------------------------------------------------------

    def apply(self, pos: int, item: ToDeviceItem) -> None:
        """Messages came."""
        for user_id, device_ids in item.devices.items():
            known = self._of_user.get(user_id, ())
            for device_id in list(known) if ALL_DEVICES in device_ids else device_ids:
                if device_id in known:
                    self._known[user_id, device_id].arrived = pos

    def counts_changed(self, user_id: str, device_id: str) -> None:
        """The device's keys are to be counted again."""
        device = self._known.get((user_id, device_id))
        if device is not None:
            device.counted_at = None

    def forget(self) -> None:
        """The log began anew."""
        self._known.clear()
        self._of_user.clear()

    # --- reading ------------------------------------------------------------------------------------------------------

    def _of_known(self, user_id: str, device_id: str, received: int) -> _Device | None:
        """The device, if memory has all that there is and nothing that was received is still to be deleted."""
        device = self._known.get((user_id, device_id))
        if device is None or device.reading is None or device.counts is None or self._is_stale(device):
            return None
        reading = device.reading
        if device.arrived > reading.upto or device.is_read_out:
            return None
        if received <= reading.received or not (reading.messages or reading.is_cut):
            return device
        waits = reading.is_cut or any(one.pos <= received for one in reading.messages)
        return None if waits else device

    async def _read(
        self, user_id: str, device_id: str, received: int, upto: int, count: bool = False
    ) -> tuple[_Device, _Reading, _Counts]:
        device = self._device(user_id, device_id)
        found = await inbox.take(self._db, user_id, device_id, received, upto, MAXIMUM_MESSAGES + 1)
        messages, is_cut = found[:MAXIMUM_MESSAGES], len(found) > MAXIMUM_MESSAGES
        reading = device.reading = _Reading(received, upto, messages, is_cut)
        device.is_read_out = False
        counts = device.counts
        if counts is None or count or self._is_stale(device):
            counts = await self._count(user_id, device_id, device)
        return device, reading, counts

    # --- memory -------------------------------------------------------------------------------------------------------

    def _device(self, user_id: str, device_id: str) -> _Device:
        """The device, from now on kept up from the log."""
        device = self._known.get((user_id, device_id))
        if device is None:
            device = self._known[user_id, device_id] = _Device(self._position())
            self._of_user.setdefault(user_id, set()).add(device_id)
            if len(self._known) > MAXIMUM_DEVICES:
                self._drop_oldest()
        self._known.move_to_end((user_id, device_id))
        return device

    def _drop_oldest(self) -> None:
        (user_id, device_id), _ = self._known.popitem(last=False)
        devices = self._of_user[user_id]
        devices.discard(device_id)
        if not devices:
            del self._of_user[user_id]

    def _is_stale(self, device: _Device) -> bool:
        return device.counted_at is None or self._seconds() - device.counted_at > COUNTS_KEPT_S

    async def _count(self, user_id: str, device_id: str, device: _Device) -> _Counts:
        # Set before reading: a hint that comes meanwhile makes it stale again.
        device.counted_at = self._seconds()
        one_time, fallback = await one_time_keys.key_state(self._db, user_id, device_id)
        device.counts = _Counts({**NO_KEYS, **one_time}, fallback)
        return device.counts


def _news(device: _Device, reading: _Reading, counts: _Counts) -> DeviceNews:
    """What an answer tells, which counts as told from now on."""
    changed = device.told is not None and device.told != counts
    device.told = counts
    device.is_read_out = bool(reading.messages)
    return DeviceNews(reading.messages, counts.one_time, counts.fallback, changed)
