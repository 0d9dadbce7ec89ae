"""What extensions tell besides rooms: account data, receipts, typing, threads, messages to the device and its keys.

Extensions about rooms are limited to the lists and subscriptions that they name. A room that comes into sight gets all
of it, one that was in sight what changed since it was told. Threads are told of all joined rooms.

Spec: MSC4508 (the common rules, typing), MSC3885 (to_device), MSC3884 (e2ee), MSC3959 (account_data), MSC3960
(receipts), MSC4360 (threads).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.errors import invalid_param
from hs_common.matrix.receipts_edu import Receipt, receipt_events
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.device_lists import device_lists_between
from hs_common.reading.room_view import Reader
from hs_common.reading.settings import PUSH_RULES, push_rules_content
from hs_common.reading.thread_updates import MAXIMUM_THREADS, Stretch, ThreadUpdates
from hs_common.replication.ephemeral_view import Changes, EphemeralView
from hs_common.storage import sync_personal
from hs_common.storage.queries import Queries
from hs_workers.sync.answer import account_data_event
from hs_workers.sync.devices import MAXIMUM_MESSAGES, DeviceNews
from hs_workers.sync.sliding.hints import UNKNOWN, Hints
from hs_workers.sync.sliding.lists import Matches, View
from hs_workers.sync.sliding.load_rooms import RoomResult
from hs_workers.sync.sliding.question import Extension, Json, SlidingRequest

LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scene:
    """What the extensions of one answer are about.

    `told`: each room that a rule matches, with up to where it was told before (0: not at all). `entered`: those of them
    that were not in sight. `joined`: those that the reader is joined to. `enabled_before`: the extensions of the last
    request. `live`: where the last answer was, None if there was none. `ignored`: whom the reader wants nothing of.
    """

    user_id: str
    request: SlidingRequest
    matches: Matches
    told: Mapping[str, int]
    entered: frozenset[str]
    joined: frozenset[str]
    enabled_before: frozenset[str]
    live: int | None
    now: int
    ignored: frozenset[str]
    hints: Hints = UNKNOWN

    def start(self, name: str) -> int | None:
        """From where an extension tells what is not of rooms; None for from the beginning."""
        return self.live if name in self.enabled_before else None

    def scope(self, name: str, extension: Extension) -> dict[str, int]:
        """The rooms that an extension is about, with up to where each was told."""
        if extension.lists is None and extension.rooms is None:
            return dict(self.told) if name in self.enabled_before else dict.fromkeys(self.told, 0)
        found = {}
        for room_id, match in self.matches.rooms.items():
            if room_id not in self.told:
                continue  # it waits for the next answer
            in_list = any(extension.lists is None or one in extension.lists for one in match.lists)
            if in_list or (match.is_subscribed and (extension.rooms is None or room_id in extension.rooms)):
                found[room_id] = self.told[room_id] if name in self.enabled_before else 0
        return found


def to_device_since(extension: Extension) -> int:
    """Up to where the device has received its messages. Raises M_INVALID_PARAM."""
    if extension.since is None:
        return 0
    if not extension.since.isascii() or not extension.since.isdigit() or int(extension.since) > LARGEST:
        raise invalid_param("`extensions.to_device.since` must be a next_batch of that extension")
    return int(extension.since)


def to_device(extension: Extension, news: DeviceNews) -> Json:
    """The messages that wait, and up to where these are."""
    limit = min(extension.limit or MAXIMUM_MESSAGES, MAXIMUM_MESSAGES)
    messages = news.messages[:limit]
    upto = messages[-1].pos if messages else to_device_since(extension)
    return {"next_batch": str(upto), "events": [orjson.Fragment(one.json) for one in messages]}


class Extensions:
    """Loads them for any reader."""

    def __init__(self, db: Queries, view: EphemeralView, threads: ThreadUpdates) -> None:
        self._db = db
        self._view = view
        self._threads = threads

    async def e2ee(self, scene: Scene, news: DeviceNews) -> Json:
        """The device's keys, and whose devices changed."""
        told: Json = {
            "device_one_time_keys_count": dict(news.one_time_keys),
            "device_unused_fallback_key_types": list(news.fallback_keys),
        }
        start = scene.start("e2ee")
        if start is not None and scene.hints.devices:
            lists = await device_lists_between(self._db, scene.user_id, start, scene.now)
            if lists:
                told["device_lists"] = {"changed": list(lists.changed), "left": list(lists.left)}
        return told

    async def account_data(self, scene: Scene, extension: Extension) -> Json:
        """Global data, and that of rooms."""
        scope = scene.scope("account_data", extension)
        start = scene.start("account_data")
        fresh = [room_id for room_id, since in scope.items() if since == 0]
        low = min([since for since in scope.values() if since > 0], default=LARGEST)
        low = min(low, -1 if start is None else start)
        if not scene.hints.account_data and low == scene.live and not fresh:
            return {}
        rows = await sync_personal.account_data(self._db, scene.user_id, low, scene.now, fresh)
        contents: dict[str, str | bytes] = {}
        rooms: dict[str, list[Json]] = {}
        for room_id, data_type, content, pos in rows:
            if room_id == "":
                if start is None or pos > start:
                    contents[data_type] = content
            elif room_id in scope and pos > scope[room_id]:
                rooms.setdefault(room_id, []).append(account_data_event(data_type, content))
        if PUSH_RULES in contents or start is None:
            contents[PUSH_RULES] = orjson.dumps(push_rules_content(scene.user_id, contents.get(PUSH_RULES)))
        told: Json = {}
        if contents:
            told["global"] = [account_data_event(data_type, content) for data_type, content in contents.items()]
        if rooms:
            told["rooms"] = rooms
        return told

    async def receipts(self, scene: Scene, extension: Extension, results: Mapping[str, RoomResult]) -> Json:
        """Those set since a room was told; of a room told anew those of the events told, and the reader's own."""
        scope = {room: since for room, since in scene.scope("receipts", extension).items() if room in scene.joined}
        fresh = {room_id for room_id, result in results.items() if result.plan.initial and room_id in scope}
        read = scene.hints.receipts
        others = [
            room_id
            for room_id, since in scope.items()
            if since > 0 and room_id not in fresh and (read is None or room_id in read or since != scene.live)
        ]
        rows: list[Sequence[Any]] = []
        if others:
            lows = [scope[room_id] for room_id in others]
            rows += await sync_personal.new_receipts(self._db, others, lows, scene.now)
        if fresh:
            oldest = [results[room_id].start + 1 for room_id in fresh]
            rows += await sync_personal.receipts_of_events(self._db, list(fresh), oldest, scene.user_id, scene.now)
        found: dict[str, list[Receipt]] = {}
        for room_id, reader, receipt_type, thread_id, event_id, ts, _ in rows:
            if reader == scene.user_id or (receipt_type == "m.read" and reader not in scene.ignored):
                receipt = Receipt(room_id, receipt_type, reader, event_id, ts, thread_id or None)
                found.setdefault(room_id, []).append(receipt)
        rooms = {room_id: _one_event(receipts, scene.user_id) for room_id, receipts in found.items()}
        return {"rooms": rooms} if rooms else {}

    def typing(self, scene: Scene, extension: Extension, changes: Changes) -> Json:
        """Who types in rooms that came into sight, and where that changed."""
        changed = set(changes.room_ids)
        rooms = {}
        for room_id, since in scene.scope("typing", extension).items():
            if room_id not in scene.joined:
                continue
            user_ids = [user_id for user_id in self._view.typing_in(room_id) if user_id not in scene.ignored]
            has_entered = room_id in scene.entered or since == 0
            # Of a room that came back into sight the client may show people who stopped since.
            if (user_ids or since > 0) if has_entered else (room_id in changed or changes.is_full):
                rooms[room_id] = {"type": "m.typing", "content": {"user_ids": user_ids}}
        return {"rooms": rooms} if rooms else {}

    async def threads(
        self, name: str, scene: Scene, device_id: str | None, view: View, results: Mapping[str, RoomResult]
    ) -> Json:
        """Threads that went on, in any joined room, unless the answer has all that is new of them anyway."""
        extension, start = scene.request.extensions[name], scene.start(name) or 0
        memberships, activity = view.rooms.memberships, view.activity
        rooms = [
            room_id
            for room_id, row in memberships.items()
            if row.membership == "join" and (room_id not in activity or activity[room_id].last > start)
        ]
        if not rooms:
            return {}
        told_after = {room_id: result.start for room_id, result in results.items() if result.timeline}
        found = await self._threads.page(
            Reader(scene.user_id, device_id),
            rooms,
            scene.ignored,
            Stretch(RoomToken(start), RoomToken(scene.now)),
            min(extension.limit or MAXIMUM_THREADS, MAXIMUM_THREADS),
            with_roots=extension.include_roots,
            told_after=None if extension.include_roots else told_after,
        )
        told: Json = {"updates": found.threads} if found.threads else {}
        return told if found.more is None else {**told, "prev_batch": str(found.more)}


def _one_event(receipts: Sequence[Receipt], reader: str) -> Json:
    """All receipts of a room in one event, as the extension has it; of two of a user at one event the unthreaded."""
    content: Json = {}
    ordered = sorted(receipts, key=lambda one: one.thread_id is None)
    for event in receipt_events(ordered, reader):
        for event_id, types in event["content"].items():
            for receipt_type, users in types.items():
                content.setdefault(event_id, {}).setdefault(receipt_type, {}).update(users)
    return {"type": "m.receipt", "content": content}
