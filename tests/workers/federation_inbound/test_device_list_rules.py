"""Device lists that are kept are never older than what has been told of them, whatever happens in which order."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hs_common.federation.device_lists import DeviceLists
from hs_common.federation.list_keeping import ListKeeping
from hs_common.federation.remote_keys import MAXIMUM_DEVICES, told_list
from hs_common.matrix.errors import MatrixError
from hs_common.process.shares import SHARDS
from hs_common.storage import remote_devices
from hs_common.storage.database import Database
from hs_common.storage.remote_devices import NOTHING_YET, KeptDevice, KeptList, RemoteDevice, RemoteUser
from hs_workers.federation_inbound.device_updates import DeviceUpdates, Update, Verdict, judged
from tests.common.federation.list_world import BOB, FAR, ROOM, US, FarUser, Json, Master, Rooms, generations, play
from tests.reactor import reactor
from tests.services import TestPostgres

OTHER_ROOM = "!other:here.test"


@pytest.fixture(scope="module")
def shared_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all tests of this module, each of which empties it."""
    with postgres.database() as url:
        yield url


class AllShares:
    """Holds all shares."""

    held = dict.fromkeys(range(SHARDS), 1)

    def may_start(self) -> bool:
        return True


class Truth:
    """The way to the other server, which answers what is true at that moment."""

    def __init__(self, user: FarUser) -> None:
        self.user = user
        self.is_down = False
        self.asked = 0

    async def get(self, server: str, path: str, query: Any = None, *, large: bool = False) -> Json:
        self.asked += 1
        if self.is_down:
            raise MatrixError(502, "M_UNKNOWN", "away")
        return self.user.answer()


class Asking:
    """A worker that asks for a list: its view of before, and the answer while it is under way."""

    def __init__(self, before: RemoteUser) -> None:
        self.before = before
        self.answer: Json | None = None
        self.asked_at = 0


class World:
    """Bob at his server, and what is kept of him. `floor`: any list that is told must be as new as this."""

    def __init__(self, db: Database, rooms: Rooms) -> None:
        self.db = db
        self.rooms = rooms
        self.bob = FarUser()
        self.master = Master()
        self.truth = Truth(self.bob)
        remote: Any = self.truth
        self.lists = DeviceLists(db, self.master, remote, reactor, US)
        keeper: Any = AllShares()
        self.lists._keeper = keeper
        self.keeping = ListKeeping(db, self.master)
        self.updates = DeviceUpdates(db, self.master, self.lists, US)
        self.shares = False
        self.is_gone = False
        self.floor = 0
        self.asking: list[Asking] = []
        self.delivered: list[Json] = []

    async def act(self, what: str, number: int) -> None:
        await getattr(self, f"_{what}")(number)
        await self._look()

    async def _change(self, number: int) -> None:
        self.bob.change(f"D{number % 3}", number >= 6, self.shares)

    async def _deliver(self, number: int) -> None:
        if self.bob.sent:
            content = self.bob.sent.pop(0)
            self.delivered.append(content)
            await self.updates.update(FAR, [content])
            if self.shares:
                self.floor = max(self.floor, content["stream_id"])

    async def _again(self, number: int) -> None:
        if self.delivered:
            await self.updates.update(FAR, [self.delivered[-1 - number % len(self.delivered)]])

    async def _lose(self, number: int) -> None:
        self.bob.sent[:1] = []

    async def _share(self, number: int) -> None:
        if not self.shares:
            self.shares = True
            self.floor = self.bob.stream_id  # what was changed meanwhile is told to nobody
            if self.is_gone:
                await self.rooms.come_or_go(US, True)
            else:
                await self.rooms.member(BOB, "join")
            self.is_gone = False

    async def _part(self, number: int) -> None:
        """He goes, or we do."""
        if self.shares:
            self.shares = False
            self.bob.sent.clear()
            self.is_gone = number % 2 == 0
            if self.is_gone:
                await self.rooms.come_or_go(US, False)
            else:
                await self.rooms.member(BOB, ("leave", "ban", None)[number % 3])

    async def _rename(self, number: int) -> None:
        if self.shares:
            await self.rooms.member(BOB, "join")

    async def _begin(self, number: int) -> None:
        """Somebody wants the list."""
        user = (await remote_devices.users(self.db, [BOB], US)).get(BOB)
        assert (user is not None) == self.shares
        if user is None or (user.kept is not None and not user.kept.is_stale):
            return
        if user.kept is None:
            begun = await remote_devices.begin(self.db, [user], [0], 60.0)
            version = begun[BOB]
            user = user._replace(version=version, kept=KeptList(version, NOTHING_YET, True, 0, {}, {}))
        self.asking.append(Asking(user))

    async def _answer(self, number: int) -> None:
        waiting = [one for one in self.asking if one.answer is None]
        if waiting:
            one = waiting[number % len(waiting)]
            one.answer, one.asked_at = self.bob.answer(), self.bob.stream_id

    async def _store(self, number: int) -> None:
        answered = [one for one in self.asking if one.answer is not None]
        if answered:
            one = answered[number % len(answered)]
            self.asking.remove(one)
            await self.keeping.keep(one.before, told_list(BOB, one.answer))

    async def _work(self, number: int) -> None:
        """Who holds the share asks for what is stale."""
        await self.db.execute("UPDATE remote_device_lists SET retry_at = now()")
        self.truth.is_down = number % 4 == 0
        await self.lists.look()
        self.truth.is_down = False

    async def _sweep(self, number: int) -> None:
        await self.lists.sweep()

    async def _look(self) -> None:
        """What a query would be told now."""
        user = (await remote_devices.users(self.db, [BOB], US)).get(BOB)
        kept = None if user is None else user.kept
        if kept is None or kept.is_stale:
            return
        told = generations({one.device_id: one.keys for one in kept.devices.values()})
        fitting = [at for at, devices in self.bob.past.items() if devices == told]
        assert fitting, f"{told} was never true"
        assert max(fitting) >= self.floor, f"{told} is of {fitting}, but {self.floor} was told"

    async def come_to_rest(self) -> None:
        """In the end the list is had and true."""
        await self._share(0)
        while self.bob.sent:
            await self._deliver(0)
        self.bob.change("LAST", False, True)
        await self._begin(0)
        await self._deliver(0)
        for _ in range(3):
            await self._work(1)
        user = (await remote_devices.users(self.db, [BOB], US))[BOB]
        assert user.kept is not None
        assert not user.kept.is_stale
        await self._look()
        assert set(user.kept.devices) == set(self.bob.devices)


ACTS = ("change", "change", "deliver", "deliver", "again", "lose", "share", "share", "part", "rename")
MORE = ("begin", "begin", "answer", "answer", "store", "store", "work", "sweep")
acts = st.lists(st.tuples(st.sampled_from(ACTS + MORE), st.integers(0, 8)), max_size=30)
LATE = ["share", "begin", "answer", "change", "deliver", "store"]
AWAY = ["share", "begin", "answer", "store", "part", "change", "share"]
LATE_AND_AWAY = ["share", "begin", "answer", "part", "change", "share", "begin", "store", "store"]
TWO = ["share", "begin", "begin", "answer", "change", "deliver", "answer", "answer", "store", "deliver", "store"]


def steps(names: list[str]) -> list[tuple[str, int]]:
    return [(name, 0) for name in names]


@settings(max_examples=30, deadline=None)
@example(steps(LATE))
@example(steps(AWAY))
@example(steps(LATE_AND_AWAY))
@example(steps(TWO))
@given(acts)
def test_what_is_told_is_never_older_than_what_was_heard(shared_url: str, what: list[tuple[str, int]]) -> None:
    async def scenario(db: Database, rooms: Rooms) -> None:
        world = World(db, rooms)
        for name, number in what:
            await world.act(name, number)
        await world.come_to_rest()

    play(shared_url, scenario)


# --- whether a list is worth something ------------------------------------------------------------------------------


def test_a_list_is_worth_something_while_one_room_is_shared_all_the_time(shared_url: str) -> None:
    async def scenario(db: Database, rooms: Rooms) -> None:
        world = World(db, rooms)

        async def is_kept() -> bool:
            user = (await remote_devices.users(db, [BOB], US)).get(BOB)
            return user is not None and user.kept is not None and not user.kept.is_stale

        async def have() -> None:
            for name in ("begin", "answer", "store"):
                await world.act(name, 0)
            assert await is_kept()

        assert await remote_devices.users(db, [BOB], US) == {}
        await world.act("share", 0)
        await have()
        await rooms.member(BOB, "join")  # a new name
        await rooms.member(BOB, "join")
        assert await is_kept()
        await rooms.come_or_go(US, True, OTHER_ROOM)
        await rooms.member(BOB, "join", OTHER_ROOM)
        await rooms.member(BOB, "leave")
        assert not await is_kept(), "nobody looks whether one room began before the other ended"
        await have()
        await rooms.member(BOB, "join")
        await rooms.member(BOB, "invite", ROOM)
        assert await is_kept(), "the other room is shared still"
        await rooms.member(BOB, None, OTHER_ROOM)
        assert await remote_devices.users(db, [BOB], US) == {}
        await rooms.member(BOB, "join", OTHER_ROOM)
        assert not await is_kept(), "there was a hole"
        await have()
        await rooms.come_or_go(US, False, OTHER_ROOM)
        await rooms.come_or_go(US, True, OTHER_ROOM)
        assert not await is_kept(), "we were away"

    play(shared_url, scenario)


def test_lists_of_nobody_are_swept(shared_url: str) -> None:
    async def scenario(db: Database, rooms: Rooms) -> None:
        world = World(db, rooms)
        for name in ("share", "begin", "answer", "store", "sweep"):
            await world.act(name, 0)
        assert await db.fetch("SELECT user_id FROM remote_device_lists") == [(BOB,)]
        await world.act("part", 1)
        await world.act("sweep", 0)
        for table in ("remote_device_lists", "remote_devices", "remote_cross_signing_keys"):
            assert await db.fetch(f"SELECT user_id FROM {table}") == []

    play(shared_url, scenario)


def test_readers_are_told_of_what_they_may_have_missed(shared_url: str) -> None:
    async def scenario(db: Database, rooms: Rooms) -> None:
        world = World(db, rooms)
        await world.act("share", 0)
        for name in ("begin", "answer", "store"):
            await world.act(name, 0)
        assert world.master.told == [], "who asked has the answer"
        for name in ("change", "lose", "change", "deliver"):
            await world.act(name, 0)
        assert world.master.told == [BOB], "that something is amiss"
        await world.act("work", 1)
        assert world.master.told == [BOB, BOB], "that it is mended"
        await remote_devices.mark_stale(db, BOB)
        await world.act("work", 1)
        assert world.master.told == [BOB, BOB], "nothing was different"
        await remote_devices.mark_stale(db, BOB)
        await remote_devices.asked_in_vain(db, [BOB])
        await world.act("work", 1)
        assert world.master.told == [BOB, BOB, BOB], "somebody went without"
        # While the master is away the list stays stale, so that it is told of later.
        await remote_devices.mark_stale(db, BOB)
        await world.act("change", 0)
        world.master.failures.append(MatrixError(503, "M_UNKNOWN", "away"))
        await world.act("work", 1)
        assert await remote_devices.stale_lists(db, range(SHARDS), 1) == {}, "not at once"
        await world.act("work", 1)
        assert len(world.master.told) == 4

    play(shared_url, scenario)


# --- what an update is to a list --------------------------------------------------------------------------------------


def device(name: str | None, device_id: str = "D") -> RemoteDevice:
    return RemoteDevice(BOB, device_id, name, None)


def kept(at: int, *, stale: bool = False, size: int = 1, known: RemoteDevice | None = None) -> KeptDevice:
    return KeptDevice(1, at, stale, size, known)


def update(at: int, prev: list[int], new: RemoteDevice | None = None) -> Update:
    return Update(BOB, "D", at, prev, new)


@pytest.mark.parametrize(
    ("here", "told", "verdict"),
    [
        (kept(5), update(6, [5], device("new")), Verdict.FOLLOWS),
        (kept(5), update(9, [5]), Verdict.FOLLOWS),
        (kept(5), update(7, [6]), Verdict.IS_AMISS),
        (kept(5), update(6, []), Verdict.IS_AMISS),
        (kept(5), update(7, [5, 6]), Verdict.IS_AMISS),  # 6 went beside, and did not come
        (kept(5, stale=True), update(6, [5]), Verdict.IS_AMISS),
        (kept(5, known=device("old")), update(5, [4], device("old")), Verdict.IS_KNOWN),
        (kept(5, known=device("old")), update(4, [3], device("old")), Verdict.IS_KNOWN),
        (kept(5), update(4, [3]), Verdict.IS_KNOWN),
        (kept(5, known=device("old")), update(5, [4], device("other")), Verdict.IS_AMISS),
        (kept(5, known=device("old")), update(4, [3], device("other")), Verdict.IS_AMISS),
        (kept(5), update(4, [3], device("other")), Verdict.IS_AMISS),
        (kept(5, size=MAXIMUM_DEVICES), update(6, [5], device("one more")), Verdict.IS_AMISS),
        (kept(5, size=MAXIMUM_DEVICES, known=device("old")), update(6, [5], device("new")), Verdict.FOLLOWS),
        (kept(5, size=MAXIMUM_DEVICES), update(6, [5]), Verdict.FOLLOWS),
    ],
)
def test_what_an_update_is_to_a_list(here: KeptDevice, told: Update, verdict: Verdict) -> None:
    assert judged(here, told) is verdict
