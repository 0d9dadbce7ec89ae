"""What encryption costs the server: the keys of all devices of a room, and messages to each of these devices."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

from tests.bench.matrix_client import Client, sync_path
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.together import each
from tests.bench.work import Work, closed_loop, counted_loop

_V3: Final = "/_matrix/client/v3"
_IN_FLIGHT: Final = 2
_RECEIVING: Final = 16
_SENT_A_SLICE: Final = 10
_POLL_TIMEOUT_MS: Final = 30_000  # as clients ask; a message waits for them, and they do not wait
_EVENT_TYPE: Final = "m.room.encrypted"
_CIPHERTEXT: Final = "A" * 400


async def keys_query(population: Population, size: Size) -> list[Work]:
    """The device keys of everybody in a room."""
    members = await _with_keys(population, size.devices)
    lanes = [members[0].another() for _ in range(_IN_FLIGHT)]
    asked: dict[str, Any] = {"device_keys": {member.user_id: [] for member in members}}

    async def step(lane: int) -> None:
        answer = await lanes[lane].call("POST", f"{_V3}/keys/query", asked)
        assert len(answer["device_keys"]) == len(members), "everybody has a device"

    return [Work(f"keys-query, {size.devices} devices", "answer", closed_loop(_IN_FLIGHT, step))]


async def to_device(population: Population, size: Size) -> list[Work]:
    """A message to each device of a room, as a new room key is sent; and each device's receipt of it."""
    sending = _Sending(await _with_keys(population, size.devices))
    return [
        Work(
            f"to-device, sent to {size.devices} devices",
            "send",
            counted_loop(1, _SENT_A_SLICE, sending.send),
            sending.receive_all,
        ),
        Work(
            f"to-device, received by each of {size.devices} devices",
            "receipt",
            counted_loop(_RECEIVING, size.devices, sending.receive),
            sending.send_one,
        ),
    ]


async def _with_keys(population: Population, count: int) -> list[Client]:
    """Members of one room, whose devices have keys."""
    members = await population.crowd(count)

    async def upload(member: Client) -> None:
        await member.call("POST", f"{_V3}/keys/upload", {"device_keys": _device_keys(member)})
        member.close()

    await each(members, upload)
    await population.crowded_room(count)
    return members


def _device_keys(member: Client) -> dict[str, Any]:
    device = member.device_id
    keys = {f"{kind}:{device}": _key(f"{kind} {device}") for kind in ("curve25519", "ed25519")}
    signature = base64.b64encode(hashlib.sha512(device.encode()).digest()).decode().rstrip("=")
    return {
        "user_id": member.user_id,
        "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": keys,
        "signatures": {member.user_id: {f"ed25519:{device}": signature}},
    }


def _key(name: str) -> str:
    """What looks like a public key; servers cannot tell."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")


class _Sending:
    """Messages to all devices. The readers' place is kept, so that each message is received once."""

    def __init__(self, members: Sequence[Client]) -> None:
        self._members = [member.another() for member in members]
        self._since: list[str | None] = [None] * len(members)

    async def send(self, lane: int = 0, number: int = 0) -> None:
        """One message to each device."""
        content = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "ciphertext": {"key": {"type": 0, "body": _CIPHERTEXT}}}
        await self._members[0].send_to_devices(
            _EVENT_TYPE, {member.user_id: {member.device_id: content} for member in self._members}
        )

    async def send_one(self) -> None:
        """After all that came before has been received."""
        await self.receive_all()
        await self.send()

    async def receive_all(self) -> None:
        """Every device is up to date."""
        await each(range(len(self._members)), self._catch_up)

    async def _catch_up(self, number: int) -> None:
        while await self._received(number):
            pass

    async def receive(self, lane: int, number: int) -> None:
        """A device fetches its message, and is up to date then."""
        found = await self._received(number, _POLL_TIMEOUT_MS)
        assert len(found) == 1, "each message comes, and once"

    async def _received(self, number: int, timeout_ms: int = 0) -> list[Any]:
        path = sync_path(self._since[number], timeout_ms, set_presence="offline")
        answer = orjson.loads(await self._members[number].fetch_sync(path))
        self._since[number] = answer["next_batch"]
        return list(answer.get("to_device", {}).get("events", ()))
