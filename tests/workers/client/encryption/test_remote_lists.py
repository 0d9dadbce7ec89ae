"""Key queries for users of other servers: what is answered from lists that are kept, and who is asked for what."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from twisted.internet.defer import Deferred

from hs_common.federation.failures import AnsweredError, BadAnswer, FederationError, ServerUnreachable
from hs_common.federation.list_keeping import ListKeeping
from hs_common.federation.remote_keys import MAXIMUM_DEVICES
from hs_common.http.egress.connection import Limits
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import domain_of
from hs_common.storage import remote_devices
from hs_common.storage.database import Database
from hs_workers.client.encryption.remote_keys import RemoteKeys
from hs_workers.client.encryption.remote_lists import LISTS_LIMIT, LISTS_OF_SERVER, RemoteLists
from hs_workers.client.encryption.whole_lists import UNLISTED_S, WholeLists
from tests.common.federation.list_world import BOB, FAR, US, FarUser, Json, Master, Rooms, keys_of, play
from tests.reactor import until
from tests.services import TestPostgres

STRANGER = f"@stranger:{FAR}"
MASTER_KEY = "nqOvzeuGWT/sRx3h7+MHoInYj3Uk2LD/unI9kDYcHwk"


@pytest.fixture(scope="module")
def shared_url(postgres: TestPostgres) -> Iterator[str]:
    """One database for all tests of this module, each of which empties it."""
    with postgres.database() as url:
        yield url


class Elsewhere:
    """Other servers. `asked` has what they were asked."""

    def __init__(self) -> None:
        self.users: dict[str, FarUser] = {}
        self.asked: list[str] = []
        self.failure: Callable[[str], Exception] | None = None
        self.odd: dict[str, Any] = {}
        self.extra: Json = {}
        self._gate: Deferred[None] | None = None
        self.waiting = 0

    async def get(self, destination: str, path: str, query: Any = None, limits: Limits | None = None) -> Any:
        user_id = unquote(path.rpartition("/")[2])
        self.asked.append(user_id)
        answer = self.odd.get(user_id) or {**self.users[user_id].answer(), **self.extra}
        await self._wait()
        if isinstance(answer, Exception):
            raise answer
        if self.failure is not None:
            raise self.failure(destination)
        return answer

    async def post(self, destination: str, path: str, body: Any, limits: Limits | None = None) -> Any:
        assert path == "/_matrix/federation/v1/user/keys/query"
        self.asked.append(destination)
        await self._wait()
        if self.failure is not None:
            raise self.failure(destination)
        told = {}
        for user_id in body["device_keys"]:
            assert domain_of(user_id) == destination
            if user_id in self.users:
                told[user_id] = {one: keys_of(user_id, one, at) for one, at in self.users[user_id].devices.items()}
        return {"device_keys": told}

    @contextmanager
    def slow(self) -> Iterator[None]:
        """What they are asked within the block is answered at its end."""
        gate: Deferred[None] = Deferred()
        self._gate = gate
        try:
            yield
        finally:
            self._gate = None
            gate.callback(None)

    async def _wait(self) -> None:
        gate = self._gate
        if gate is not None:
            self.waiting += 1
            passed: Deferred[None] = Deferred()
            gate.addCallback(lambda _: passed.callback(None))
            await passed


class World:
    """A worker, whose clock stands still."""

    def __init__(self, db: Database, rooms: Rooms, elsewhere: Elsewhere | None = None) -> None:
        self.db = db
        self.rooms = rooms
        self.now = 0.0
        self.elsewhere = elsewhere or Elsewhere()
        self.master = Master()
        self.counted: Counter[str] = Counter()
        federation: Any = self.elsewhere
        self.whole = WholeLists(db, ListKeeping(db, self.master), federation, US, lambda: self.now)
        self.lists = RemoteLists(
            db, self.whole, RemoteKeys(federation), US, lambda: self.now, lambda how, n: self.counted.update({how: n})
        )

    async def meet(self, *user_ids: str) -> None:
        """These share a room with us."""
        for user_id in user_ids:
            self.elsewhere.users[user_id] = FarUser(user_id)
            await self.rooms.member(user_id, "join")

    async def query(self, *user_ids: str, devices: list[str] | None = None) -> tuple[Json, Json]:
        """Answer and failures."""
        wanted: dict[str, dict[str, list[str]]] = {}
        for user_id in user_ids or [BOB]:
            wanted.setdefault(domain_of(user_id), {})[user_id] = devices or []
        found, failures = await self.lists.query(wanted)
        return orjson.loads(orjson.dumps(found)), failures

    async def devices(self, *user_ids: str) -> dict[str, set[str]]:
        """Of the answer, which has no failures."""
        found, failures = await self.query(*user_ids)
        assert failures == {}
        return {user_id: set(devices) for user_id, devices in found["device_keys"].items()}

    def asked(self) -> list[str]:
        """What others were asked since the last time."""
        asked, self.elsewhere.asked = self.elsewhere.asked, []
        return asked


def lists_play(url: str, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def played(db: Database, rooms: Rooms) -> None:
        await scenario(World(db, rooms))

    play(url, played)


def test_a_list_is_asked_for_once(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        master = {"user_id": BOB, "usage": ["master"], "keys": {f"ed25519:{MASTER_KEY}": MASTER_KEY}}
        world.elsewhere.extra = {"master_key": master}
        world.elsewhere.users[BOB].change("PHONE", False, False)
        first = await world.query()
        assert world.asked() == [BOB]
        assert await world.query() == first
        assert world.asked() == []
        assert first[0]["device_keys"][BOB] == {"D0": keys_of(BOB, "D0", 1), "PHONE": keys_of(BOB, "PHONE", 2)}
        assert first[0]["master_keys"] == {BOB: master}
        some, _ = await world.query(devices=["PHONE", "NONE"])
        assert set(some["device_keys"][BOB]) == {"PHONE"}
        # Another worker reads the same.
        other = World(world.db, world.rooms, world.elsewhere)
        assert await other.query() == first
        assert world.asked() == []
        assert world.master.told == []
        assert (world.counted["asked"], world.counted["kept"], other.counted["kept"]) == (1, 2, 1)

    lists_play(shared_url, scenario)


def test_names_of_devices_are_told(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        devices = [
            {"device_id": "D0", "keys": keys_of(BOB, "D0"), "device_display_name": 'Bob\'s "phone"'},
            {"device_id": "PLAIN"},
        ]
        world.elsewhere.extra = {"devices": devices}
        for _ in range(2):
            found, _ = await world.query()
            assert found["device_keys"][BOB] == {
                "D0": {**keys_of(BOB, "D0"), "unsigned": {"device_display_name": 'Bob\'s "phone"'}}
            }

    lists_play(shared_url, scenario)


def test_nothing_is_kept_of_who_shares_no_room(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        world.elsewhere.users[STRANGER] = FarUser(STRANGER)
        for _ in range(2):
            assert await world.devices(STRANGER) == {STRANGER: {"D0"}}
            assert world.asked() == [FAR]
        assert await world.db.fetch("SELECT user_id FROM remote_device_lists") == []
        assert world.counted == {"keys": 2, "kept": 0, "asked": 0}

    lists_play(shared_url, scenario)


def test_a_list_is_begun_anew_after_nobody_shared_a_room(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        await world.devices()
        await world.rooms.member(BOB, "leave")
        world.elsewhere.users[BOB].change("NEW", False, False)
        assert await world.devices() == {BOB: {"D0", "NEW"}}
        assert world.asked() == [BOB, FAR]
        world.elsewhere.users[BOB].change("D0", True, False)
        await world.rooms.member(BOB, "join")
        for _ in range(2):
            assert await world.devices() == {BOB: {"NEW"}}
        assert world.asked() == [BOB]
        # What was kept is worth nothing then, even if nothing else is to be had.
        await world.rooms.member(BOB, "leave")
        await world.rooms.member(BOB, "join")
        world.elsewhere.failure = _unreachable
        found, failures = await world.query()
        assert (found["device_keys"], set(failures)) == ({}, {FAR})

    lists_play(shared_url, scenario)


def _unreachable(server: str) -> FederationError:
    return ServerUnreachable(server, "connect", "refused")


def _busy(server: str) -> FederationError:
    return AnsweredError(server, 503, None)


@pytest.mark.parametrize("failing", [_unreachable, _busy])
def test_a_stale_list_is_told_with_the_failure(shared_url: str, failing: Callable[[str], FederationError]) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        await world.devices()
        await remote_devices.mark_stale(world.db, BOB)
        world.elsewhere.failure = failing
        found, failures = await world.query()
        assert (set(found["device_keys"][BOB]), set(failures)) == ({"D0"}, {FAR})
        assert failures[FAR]["errcode"] == "M_UNKNOWN"
        assert world.counted["failed"] == 1
        world.elsewhere.failure = None
        assert await world.devices() == {BOB: {"D0"}}
        assert world.master.told == [BOB], "whoever was told of a failure asks again"
        world.asked()
        await world.devices()
        assert world.asked() == []

    lists_play(shared_url, scenario)


def test_a_change_meanwhile_is_not_overwritten(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        with world.elsewhere.slow():
            one = Deferred.fromCoroutine(world.devices())
            await until(lambda: world.elsewhere.waiting)
            assert await remote_devices.mark_stale(world.db, BOB)
            world.elsewhere.users[BOB].change("NEW", False, False)
        assert await one == {BOB: {"D0"}}, "who asked before the change may be told what was before"
        assert await world.devices() == {BOB: {"D0", "NEW"}}
        assert world.asked() == [BOB, BOB]

    lists_play(shared_url, scenario)


def test_many_who_ask_at_once_ask_once(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        await world.devices()
        await remote_devices.mark_stale(world.db, BOB)
        world.asked()
        with world.elsewhere.slow():
            asking = [Deferred.fromCoroutine(world.devices()) for _ in range(10)]
            await until(lambda: sum(len(one.waiting) for one in world.whole._under_way.values()) == 9)
        assert [await one for one in asking] == [{BOB: {"D0"}}] * 10
        assert world.asked() == [BOB]

    lists_play(shared_url, scenario)


def test_who_waited_in_vain_asks_again(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        await world.devices()
        await remote_devices.mark_stale(world.db, BOB)
        world.asked()
        with world.elsewhere.slow():
            asking = [Deferred.fromCoroutine(world.devices()) for _ in range(4)]
            await until(lambda: sum(len(one.waiting) for one in world.whole._under_way.values()) == 3)
            await remote_devices.mark_stale(world.db, BOB)
            world.elsewhere.users[BOB].change("NEW", False, False)
        told = [await one for one in asking]
        assert told.count({BOB: {"D0", "NEW"}}) >= 3, "all but who asked first, which need not be the first of them"
        assert len(world.asked()) <= 3, "one, and one for those who waited"
        await world.devices()
        assert world.asked() == []

    lists_play(shared_url, scenario)


def test_servers_without_lists_are_asked_for_keys(shared_url: str) -> None:
    many = [{"device_id": f"D{n}", "keys": keys_of(BOB, f"D{n}")} for n in range(MAXIMUM_DEVICES + 1)]
    odd: tuple[Any, ...] = (
        AnsweredError(FAR, 404, {"errcode": "M_UNRECOGNIZED"}),
        BadAnswer(FAR, "the answer is no JSON"),
        [],
        {"user_id": STRANGER, "stream_id": 1, "devices": []},
        {"user_id": BOB, "stream_id": "1", "devices": []},
        {"user_id": BOB, "stream_id": 1, "devices": many},
    )

    async def scenario(world: World) -> None:
        await world.meet(BOB)
        for answer in odd:
            world.elsewhere.odd[BOB] = answer or [1]
            assert await world.devices() == {BOB: {"D0"}}
            assert world.asked() == [BOB, FAR]
            assert await world.devices() == {BOB: {"D0"}}
            assert world.asked() == [FAR], "not again so soon"
            world.now += UNLISTED_S + 1
        world.elsewhere.odd.clear()
        assert await world.devices() == {BOB: {"D0"}}
        assert world.asked() == [BOB]

    lists_play(shared_url, scenario)


def test_of_many_users_keys_are_asked_for_at_once_and_their_lists_later(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        far = [f"@u{n}:{FAR}" for n in range(LISTS_OF_SERVER + 1)]
        await world.meet(*far)
        assert await world.devices(*far) == {user_id: {"D0"} for user_id in far}
        assert world.asked() == [FAR]
        due = await remote_devices.stale_lists(world.db, range(256), 100)
        assert set(due) == set(far)
        assert await world.devices(*far[:-1]) == {user_id: {"D0"} for user_id in far[:-1]}
        assert sorted(world.asked()) == far[:-1]
        assert await world.devices(*far) == {user_id: {"D0"} for user_id in far}
        assert world.asked() == far[-1:]
        # Nor are very many asked for at once, of however many servers.
        others = [f"@u:s{n}.test" for n in range(LISTS_LIMIT + 5)]
        await world.meet(*others)
        assert set(await world.devices(*others)) == set(others)
        asked = Counter(one.startswith("@") for one in world.asked())
        assert asked == {True: LISTS_LIMIT, False: 5}

    lists_play(shared_url, scenario)


def test_an_answer_is_told_though_the_master_is_away(shared_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.meet(BOB)
        await world.devices()
        await remote_devices.mark_stale(world.db, BOB)
        world.elsewhere.users[BOB].change("NEW", False, False)
        world.master.failures.append(MatrixError(503, "M_UNKNOWN", "away"))
        assert await world.devices() == {BOB: {"D0", "NEW"}}
        assert world.master.told == []
        assert await world.devices() == {BOB: {"D0", "NEW"}}
        assert world.master.told == [BOB]

    lists_play(shared_url, scenario)
