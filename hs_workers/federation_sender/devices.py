"""What a destination is told of devices of this server's users: messages to its devices, and changed device lists.

Both have one cursor, by the positions of the log. An update's `stream_id` is the position of the change, which is that
of one device; its `prev_id` the user's change of a device before it, whoever was told of that. A server that comes to
share a room is told the same updates again, of each device the last: so what is told next follows what it has.

Spec: server-server-api.md#send-to-device-messaging, #device-management.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import orjson

from hs_common.storage import destinations
from hs_common.storage.cross_signing import cross_signing_keys
from hs_common.storage.queries import Queries, Row

MESSAGES_LIMIT: Final = 40
CHANGES_LIMIT: Final = 40
"""Of devices; and of users whose devices are all told, up to the limit of EDUs."""
EDUS_LIMIT: Final = 80
"""Of a transaction's 100; the others are left to what is not kept."""
DEVICES_LIMIT: Final = 50
"""Devices of one user that are told one by one; whoever has more is looked up by the other server."""
CHANGES_OF_USER_LIMIT: Final = 200
"""How far back is looked for the last changes of a user's devices; those that changed before are looked up likewise."""
UNKNOWN_CHANGE: Final = 0
"""What came before is not kept one by one: a number that nobody knows makes the other server look the list up."""
SHOWN_KEYS: Final = ("master", "self_signing")
"""Of cross-signing keys, by usage."""


class News(NamedTuple):
    """EDUs, and up to where they tell all there is."""

    edus: list[dict[str, Any]]
    upto: int


class DeviceLane:
    """Reads what there is for a destination."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._suffix = ":" + server_name

    async def next(self, destination: str, after: int, upto: int) -> News:
        """What there is above `after`, as much as fits into a transaction. Raises DatabaseError."""
        messages = await destinations.messages(self._db, destination, after, upto, MESSAGES_LIMIT)
        changes = await destinations.device_changes(self._db, destination, self._suffix, after, upto, CHANGES_LIMIT)
        if len(messages) == MESSAGES_LIMIT:
            upto = min(upto, messages[-1][0])
        if len(changes) == CHANGES_LIMIT:
            # Where sharing with very many users begins at once, the first are told; of others the server asks itself.
            upto = min(upto, changes[-1][0])
        by_pos: dict[int, list[dict[str, Any]]] = {pos: [orjson.loads(edu)] for pos, edu in messages}
        for pos, user_id, device_ids in changes:
            if pos <= upto:
                listed = None if device_ids is None else orjson.loads(device_ids)
                by_pos.setdefault(pos, []).extend(await self._changed(user_id, pos, listed))
        return _fitting(by_pos, upto)

    async def _changed(self, user_id: str, pos: int, device_ids: list[str] | None) -> list[dict[str, Any]]:
        if device_ids == []:
            return await self._signing_keys(user_id)
        devices = {row[0]: row for row in await destinations.devices(self._db, user_id)}
        if device_ids is None:
            changes = await destinations.changes_of_user(self._db, user_id, pos, CHANGES_OF_USER_LIMIT)
            edus = [
                _update(user_id, device_id, devices.get(device_id), at, before)
                for device_id, at, before in _last_changes(changes, devices)
            ]
            return edus + await self._signing_keys(user_id)
        previous = await destinations.previous_change(self._db, user_id, pos)
        edus, before = [], [] if previous is None else [previous]
        for device_id in device_ids[:DEVICES_LIMIT]:  # more than one: written when a change had one position for all
            edus.append(_update(user_id, device_id, devices.get(device_id), pos, before))
            before = [pos]
        return edus

    async def _signing_keys(self, user_id: str) -> list[dict[str, Any]]:
        content: dict[str, Any] = {"user_id": user_id}
        for key in await cross_signing_keys(self._db, [user_id]):
            if key.usage in SHOWN_KEYS:
                content[f"{key.usage}_key"] = {**orjson.loads(key.keys), "signatures": orjson.loads(key.signatures)}
        if len(content) == 1:
            return []
        return [{"edu_type": "m.signing_key_update", "content": content}]


def _last_changes(changes: list[Row], devices: Collection[str]) -> list[tuple[str, int, list[int]]]:
    """(device, position, what was before it) of the last change of each device that is there, and of the very last
    change, whose device may be gone. `changes`: (pos, device ids as a JSON array or NULL: of all), the newest first."""
    found: dict[str, tuple[int, list[int]]] = {}
    for number, (pos, listed) in enumerate(changes[:CHANGES_OF_USER_LIMIT]):
        if number + 1 < len(changes):
            before = [changes[number + 1][0]]
        else:
            before = [] if listed is not None else [UNKNOWN_CHANGE]
        for device_id in devices if listed is None else orjson.loads(listed):
            if device_id in devices or number == 0:
                found.setdefault(device_id, (pos, before))
    told = [(device_id, pos, before) for device_id, (pos, before) in found.items()][:DEVICES_LIMIT]
    return told[::-1]


def _fitting(by_pos: dict[int, list[dict[str, Any]]], upto: int) -> News:
    """As many positions as fit, each whole; one at least."""
    edus: list[dict[str, Any]] = []
    told_to = 0
    for pos in sorted(pos for pos in by_pos if pos <= upto):
        if edus and len(edus) + len(by_pos[pos]) > EDUS_LIMIT:
            return News(edus, told_to)
        edus += by_pos[pos][:EDUS_LIMIT]
        told_to = pos
    return News(edus, upto)


def _update(user_id: str, device_id: str, row: Any, pos: int, previous: list[int]) -> dict[str, Any]:
    content: dict[str, Any] = {"user_id": user_id, "device_id": device_id, "stream_id": pos, "prev_id": previous}
    if row is None:
        content["deleted"] = True
    else:
        _, display_name, keys, signatures = row
        if display_name is not None:
            content["device_display_name"] = display_name
        if keys is not None:
            content["keys"] = {**orjson.loads(keys), "signatures": orjson.loads(signatures)}
    return {"edu_type": "m.device_list_update", "content": content}
