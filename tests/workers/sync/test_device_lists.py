"""What a client believes of others' devices is true: it has the newest keys of those that share a room with it, and of
nobody else. By both ways of /sync and by /keys/changes."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import SyncToken
from hs_common.reading.device_lists import DeviceLists, device_lists_between
from hs_common.replication.encryption_calls import AddSignatures, NewCrossSigningKey, NewSignature, SetCrossSigningKeys
from hs_common.replication.items import DevicesItem
from hs_common.storage.cross_signing import cross_signing_keys
from hs_workers.sync.device_changes import MAXIMUM_CHANGES
from hs_workers.sync.parameters import Reader, Wishes
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.world import ALICE, BOB, CAROL, World

USERS = (ALICE, BOB, CAROL)


async def change_keys(w: World, user_id: str, version: int = 0, usage: str = "master") -> None:
    """The user publishes other keys."""
    current = {key.usage: key.public_key for key in await cross_signing_keys(w.m.db, [user_id])}
    key = NewCrossSigningKey(public_key=f"{user_id}{version}", keys=b"{}", signatures=b"{}")
    await w.m.call(SetCrossSigningKeys(user_id=user_id, keys={usage: key}, expected=current))


async def sharing(w: World, user_id: str) -> set[str]:
    """Who shares a room with the user."""
    rows = await w.m.db.fetch(
        "SELECT DISTINCT other.user_id FROM local_membership AS own JOIN local_membership AS other USING (room_id)"
        " WHERE own.user_id = %s AND own.membership = 'join' AND own.to_pos = 9223372036854775807"
        " AND other.membership = 'join' AND other.to_pos = 9223372036854775807",
        (user_id,),
    )
    return {other for (other,) in rows} - {user_id}


@dataclass
class Tracker:
    """A client that fetches keys when it is told that they changed."""

    user_id: str
    keys: dict[str, int] = field(default_factory=dict)
    token: SyncToken | None = None

    async def begin(self, w: World, versions: dict[str, int]) -> None:
        """After its first sync."""
        self.token = SyncToken(await w.head())
        self.keys = {other: versions[other] for other in await sharing(w, self.user_id)}

    def take(self, lists: dict[str, list[str]], versions: dict[str, int]) -> None:
        """Applies `device_lists`."""
        assert not set(lists["changed"]) & set(lists["left"])
        for other in lists["changed"]:
            self.keys[other] = versions[other]
        for other in lists["left"]:
            self.keys.pop(other, None)
        self.keys.pop(self.user_id, None)


class Ways:
    """Asks by the fast lane where it answers, by the general way, and as /keys/changes does."""

    def __init__(self, w: World, live: Live) -> None:
        self.w = w
        self.live = live
        self.fast = 0

    async def ask(self, tracker: Tracker) -> dict[str, list[str]]:
        parts = self.live.parts
        user = await parts.audience.track(tracker.user_id)
        now = self.live.following.follower.position.pos
        question = await self.w.question(tracker.user_id, tracker.token, at=now)
        assert tracker.token is not None
        fast = parts.fast.answer(question, user)
        general, counts = await parts.general.answer(question)
        told: dict[str, list[str]] = orjson.loads(general.body)["device_lists"]
        if fast is not None:
            self.fast += 1
            assert orjson.loads(fast.body)["device_lists"] == told
        lists = await device_lists_between(self.w.m.db, tracker.user_id, tracker.token.position, now)
        assert {"changed": list(lists.changed), "left": list(lists.left)} == told
        parts.fast.counted(tracker.user_id, counts)
        tracker.token = general.next_batch
        return told


acts = st.tuples(
    st.sampled_from(["join", "leave", "keys", "send", "kick", "sync", "sync"]),
    st.sampled_from(USERS),
    st.integers(0, 1),
)


@settings(max_examples=25)
@given(history=st.lists(acts, min_size=4, max_size=30))
def test_clients_have_the_newest_keys_of_whom_they_share_a_room_with(
    play: Play, history: list[tuple[str, str, int]]
) -> None:
    async def scenario(w: World) -> None:
        rooms = [await w.m.create_room(ALICE), await w.m.create_room(BOB)]
        live = Live(w)
        live.start()
        ways = Ways(w, live)
        versions = dict.fromkeys(USERS, 0)
        trackers = {user: Tracker(user) for user in USERS}
        for tracker in trackers.values():
            await tracker.begin(w, versions)
        for number, (kind, user, room) in enumerate(history):
            if kind == "sync":
                live.follow()
                trackers[user].take(await ways.ask(trackers[user]), versions)
                assert trackers[user].keys == {other: versions[other] for other in await sharing(w, user)}
            else:
                await act(w, kind, user, rooms[room], versions, number)
        live.follow()
        for tracker in trackers.values():
            tracker.take(await ways.ask(tracker), versions)
            assert tracker.keys == {other: versions[other] for other in await sharing(w, tracker.user_id)}
        await live.background.drained()

    play(scenario)


async def act(w: World, kind: str, user: str, room: str, versions: dict[str, int], number: int) -> None:
    """Something happens, unless the rules refuse it."""
    try:
        if kind == "keys":
            versions[user] = number + 1
            await change_keys(w, user, number + 1)
        elif kind == "send":
            await w.m.send(room, user, "hello")
        else:
            sender = user if kind != "kick" else ALICE
            await w.m.member(room, sender, "leave" if kind == "kick" else kind, user)
    except MatrixError as error:
        assert error.status < 500, error  # noqa: PT017 (a refusal is fine, a failure is not)


def test_a_change_of_keys_goes_by_the_fast_lane_and_wakes(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.create_room(CAROL)
        live = Live(w)
        live.start()
        polls: dict[str, Any] = {}
        for user in (ALICE, CAROL):
            waiting = live.parts.answering.waiting(Reader(user, "D"), Wishes(), SyncToken(await w.head()), 60, _nothing)
            polls[user] = Deferred.fromCoroutine(waiting)
        while len(live.parts.waiting) < 2:
            await w.head()
        await change_keys(w, BOB)  # who does not sync here: his rooms are asked for
        live.follow()
        body = orjson.loads((await polls[ALICE]).body)
        assert body["device_lists"] == {"changed": [BOB], "left": []}
        assert not polls[CAROL].called
        await live.background.drained()
        live.parts.end()
        assert orjson.loads((await polls[CAROL]).body)["device_lists"] == {"changed": [], "left": []}
        assert live.parts.fast.answered > 0

    play(scenario)


def _nothing() -> None:
    return None


def test_ones_own_keys_are_told_without_any_room(play: Play) -> None:
    async def scenario(w: World) -> None:
        start = await w.head()
        await change_keys(w, ALICE)
        await change_keys(w, ALICE, 7, "user_signing")
        lists = await device_lists_between(w.m.db, ALICE, start, await w.head())
        assert lists == DeviceLists((ALICE,), ())
        assert not await device_lists_between(w.m.db, BOB, start, await w.head())
        assert not await device_lists_between(w.m.db, ALICE, await w.head(), start)

    play(scenario)


def test_a_signature_that_only_its_maker_sees_is_told_to_its_maker(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        live = Live(w)
        live.start()
        ways, alice, bob = Ways(w, live), Tracker(ALICE), Tracker(BOB)
        for tracker in (alice, bob):
            await tracker.begin(w, dict.fromkeys(USERS, 0))
            await ways.ask(tracker)
        signature = NewSignature(user_id=BOB, target="master of bob", key_id="ed25519:x", signature="y")
        await w.m.call(AddSignatures(signer_id=ALICE, signatures=[signature]))
        live.follow()
        before = ways.fast
        assert await ways.ask(alice) == {"changed": [BOB], "left": []}
        assert await ways.ask(bob) == {"changed": [], "left": []}
        assert ways.fast == before + 2

    play(scenario)


def test_what_is_remembered_of_changes_is_bounded(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        await live.parts.audience.track(ALICE)
        changes = live.parts.log.device_changes
        for pos in range(MAXIMUM_CHANGES + 1):
            changes.add(pos, ALICE)
        assert changes.rooms_of(0) is None
        assert changes.rooms_of(1) is not None
        live.apply_item(DevicesItem(ALICE, ["D"]))
        changes.forget()
        assert changes.rooms_of(1) is None

    play(scenario)
