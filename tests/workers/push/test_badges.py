"""Counts kept from the log, and counts carried on from the cache, are what counting everything anew gives. Always."""

from random import Random
from typing import Any

import pytest

from hs_common.reading import load_unread
from hs_common.reading.load_unread import UnreadCounter
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.unread import Counts, rows_to_keep
from hs_common.storage import unread
from hs_workers.push.badges import Badge
from tests.workers.push.conftest import Play
from tests.workers.push.world import ALICE, BOB, CAROL, World

STEPS = 25


class History:
    """What Alice, Carol and Bob do in two rooms, at random. Bob is who reads."""

    def __init__(self, w: World, rooms: list[str], random: Random) -> None:
        self._w = w
        self._rooms = rooms
        self._random = random
        self._sent: dict[str, list[tuple[str, str]]] = {room: [] for room in rooms}  # (event id, thread)
        self._bob_in = set(rooms)

    async def go_on(self) -> None:
        room = self._random.choice(self._rooms)
        steps = [*[self._say] * 6, *[self._read] * 3, self._redact, self._answer, self._call, self._move]
        await self._random.choice(steps)(room)

    async def _say(self, room: str) -> None:
        sender = self._random.choice([ALICE, CAROL])
        content: dict[str, Any] = {}
        thread = "main"
        roots = [event_id for event_id, of_thread in self._sent[room] if of_thread == "main"]
        if roots and self._random.random() < 0.3:
            thread = self._random.choice(roots)
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": thread}
        if self._random.random() < 0.2:
            content["m.mentions"] = {"user_ids": [BOB]}
        body = self._random.choice(["plain", "cake", "notice"])
        msgtype = "m.notice" if body == "notice" else "m.text"
        event_id = await self._w.m.event(room, sender, "m.room.message", {"msgtype": msgtype, "body": body, **content})
        self._sent[room].append((event_id, thread))

    async def _answer(self, room: str) -> None:
        if room in self._bob_in:
            await self._w.m.send(room, BOB, "an answer")

    async def _call(self, room: str) -> None:
        await self._w.m.event(room, ALICE, "m.call.invite", {"call_id": "1"})

    async def _read(self, room: str) -> None:
        if self._sent[room] and room in self._bob_in:
            event_id, thread = self._random.choice(self._sent[room])
            kind = self._random.choice(["m.read", "m.read.private"])
            await self._w.read(BOB, room, event_id, self._random.choice(["", thread]), kind)

    async def _redact(self, room: str) -> None:
        if self._sent[room]:
            event_id, _ = self._random.choice(self._sent[room])
            await self._w.m.event(room, ALICE, "m.room.redaction", {"redacts": event_id})

    async def _move(self, room: str) -> None:
        if self._random.random() < 0.5:
            return
        membership = "leave" if room in self._bob_in else "join"
        await self._w.m.member(room, BOB, membership)
        self._bob_in ^= {room}


async def counted(w: World, *, use_cache: bool) -> dict[str, dict[str, Counts]]:
    """Room → its counts by thread."""
    if not use_cache:
        await w.m.db.execute("DELETE FROM unread_cache")
    rows = await unread.joined_rooms(w.m.db, BOB, None)
    settings = await ReaderSettings(w.m.db).fresh(BOB)
    versions = {room_id: version for room_id, _, version in rows}
    counter = UnreadCounter(w.m.db, BOB, settings, versions, w.m.entries[-1].pos)
    rooms = await counter.count({room_id: pos for room_id, pos, _ in rows})
    if counter.to_keep:
        await unread.keep(w.m.db, BOB, rows_to_keep(counter.to_keep))
    return {room_id: dict(room.counts) for room_id, room in rooms.items() if room.counts}


@pytest.mark.parametrize("seed", range(4))
def test_counts_kept_are_counts_counted(play: Play, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    async def scenario(w: World) -> None:
        random = Random(seed)
        for user_id in (ALICE, BOB, CAROL):
            await w.user(user_id)
        worker = w.start_worker()
        rooms = [await w.room(BOB, CAROL) for _ in range(2)]
        for room in rooms:
            await w.m.event(room, ALICE, "m.room.power_levels", {"users": {}, "events_default": 0}, state_key="")
        await w.pusher(BOB)
        keyword = {"rule_id": "cake", "default": False, "enabled": True, "pattern": "cake", "actions": ["notify"]}
        await w.set_data(BOB, "m.push_rules", {"global": {"content": [keyword]}})
        history = History(w, rooms, random)
        for number in range(STEPS):
            await history.go_on()
            if random.random() < 0.4 or number == STEPS - 1:
                await w.settled()
                carried_on = await counted(w, use_cache=True)
                kept: Badge = await worker.parts.badges.of(BOB, w.m.entries[-1].pos)
                anew = await counted(w, use_cache=False)
                assert carried_on == anew
                total = sum(one.notifications for threads in anew.values() for one in threads.values())
                assert (kept.messages, kept.rooms) == (total, len(anew))

    monkeypatch.setattr(load_unread, "WORTH_KEEPING", 1)
    play(scenario)
