"""A master that stands by knows of busy rooms what a fresh reading of the database says, whatever happened."""

from random import Random

from hs_common.matrix.errors import MatrixError
from hs_common.process.background import Background
from hs_common.replication.outbox import Outbox
from hs_common.storage import log
from hs_common.storage.database import Database
from hs_master.rooms.head import RoomHead
from hs_master.rooms.needs import Loader, Needs
from hs_master.standby import Standby
from hs_master.step import Knowledge
from tests.master.harness import SERVER, TestMaster, master
from tests.master.test_receiving import adopt, new_room, receive_all
from tests.reactor import reactor, run, sleep

USERS = ("@alice:test", "@bob:test", "@carol:test")


class StandingBy:
    """A standby beside a leader, on connections of its own."""

    def __init__(self, database_url: str) -> None:
        self.db = Database(database_url, reactor, Random(3).random, size=2)
        self._background = Background()
        self.standby = Standby(self.db, reactor, Random(4), Outbox(self.db), lambda: None, SERVER, self._background)

    async def take_over(self) -> Knowledge:
        knowledge = await self.standby.knowledge_at(await log.head(self.db))
        await self._background.drained()
        return knowledge

    async def close(self) -> None:
        await self.db.close()


def facts(head: RoomHead, keys: list[tuple[str, str]]) -> dict[str, object]:
    entries = {key: head.entry(key) for key in keys}
    return {
        "extremities": set(head.extremities),
        "depth": head.depth,
        "state_pos": head.state_pos,
        "servers": {server: count for server, count in head.servers.items() if count},
        "joined": head.joined,
        "state": {key: None if entry is None else (entry.event_id, entry.content) for key, entry in entries.items()},
    }


async def anything(m: TestMaster, random: Random, rooms: list[str]) -> None:
    """Something that a user does, allowed or not."""
    user, room = random.choice(USERS), random.choice(rooms)
    try:
        match random.randrange(6):
            case 0:
                await m.member(room, user, random.choice(("join", "leave")))
            case 1:
                await m.member(room, user, random.choice(("ban", "leave", "invite")), random.choice(USERS))
            case 2:
                await m.event(room, user, "m.room.topic", {"topic": str(random.random())}, state_key="")
            case 3:
                topic = await m.event(room, user, "m.room.topic", {"topic": "gone soon"}, state_key="")
                await m.event(room, user, "m.room.redaction", {}, redacts=topic)
            case _:
                await m.send(room, user, "hello")
    except MatrixError:
        await m.create_room(user)  # something happens all the same


def test_what_is_kept_ready_is_what_the_database_says(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            random = Random(11)
            rooms = [await m.create_room(USERS[0]) for _ in range(4)]
            by = StandingBy(database_url)
            by.standby.start()
            await sleep(0.3)
            for number in range(160):
                await anything(m, random, rooms)
                if number % 20 == 0:
                    await by.standby.fill()
            graph, join = new_room()
            await adopt(m, graph, join)
            await by.standby.fill()
            left, right = graph.send("@bob:there", "left", [join]), graph.send("@bob:there", "right", [join])
            await receive_all(m, graph, [left, right])
            known = await by.take_over()
            assert set(rooms) <= known.heads.keys()
            for room_id, head in known.heads.items():
                keys = [key for key, entry in head.state.items()]
                fresh = Knowledge()
                loader = Loader(fresh, m.db, SERVER)
                await loader.load_services()
                await loader.load_heads([room_id])
                await loader.load([Needs(room_id, keys)])
                assert facts(head, keys) == facts(fresh.heads[room_id], keys)
            await by.close()

    run(play())


def test_who_never_followed_knows_nothing(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.create_room(USERS[0])
            by = StandingBy(database_url)
            assert (await by.take_over()).heads == {}
            await by.close()

    run(play())
