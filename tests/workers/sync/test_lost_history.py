"""Tokens that this process, or the log itself, does not have."""

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication.carrier import Position
from hs_common.storage.database import Database
from hs_workers.sync.lost_history import LostHistory
from tests.reactor import reactor, run
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.test_waiting import Poller
from tests.workers.sync.world import ALICE, World, bodies, joined, types


def test_a_token_ahead_of_the_process_is_waited_for(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        behind = live.following.follower.position
        await w.m.send(room, ALICE, "known elsewhere")
        since = (await w.sync(ALICE))["next_batch"]
        follower = live.following.follower
        follower.comes_to = await w.head()
        poll = Poller(live, ALICE).poll(since)
        assert follower.asked_to_catch_up == 1
        assert follower.position.pos > behind.pos
        live.parts.end()
        assert (await poll)["next_batch"] == since

    play(scenario)


def test_a_process_that_stays_behind_says_so(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        await w.m.send(room, ALICE, "known elsewhere")
        since = (await w.sync(ALICE))["next_batch"]
        with pytest.raises(MatrixError) as refused:
            await Poller(live, ALICE).poll(since)
        assert refused.value.status == 503

    play(scenario)


@pytest.mark.parametrize("waits", [True, False])
def test_a_lost_token_is_answered_from_where_the_history_broke(play: Play, waits: bool) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        kept = await w.head()
        # A take-over that gave out positions far above, and went on from there.
        await w.m.db.execute("INSERT INTO epochs (epoch, prev, first) VALUES (7, %s, %s)", (kept, kept + 1_000))
        live = Live(w)
        live.start()
        live.following.follower.position = Position(7, kept + 2_000)
        alice = Poller(live, ALICE)
        since = f"s{kept + 500}_0_0-0"
        body = await (alice.poll(since) if waits else alice.ask(f"since={since}"))
        told = joined(body, room)
        assert told["timeline"]["limited"] is True
        assert ("m.room.create", "") in types(told["state"]["events"])
        assert bodies(told) == []

    play(scenario)


def test_a_token_beyond_the_log_is_a_lost_one(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        body = await Poller(live, ALICE).poll(f"s{await w.head() + 5_000}_0_0-0")
        assert joined(body, room)["timeline"]["limited"] is True
        assert body["next_batch"].startswith(f"s{await w.head()}_")

    play(scenario)


def test_a_lost_token_is_known_to_a_process_that_has_not_heard_of_the_take_over(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        kept = await w.head()
        live = Live(w)
        live.start()
        alice = Poller(live, ALICE)
        await alice.ask(f"since=s{kept}_0_0-0")  # no take-over yet, which is remembered
        await w.m.db.execute("INSERT INTO epochs (epoch, prev, first) VALUES (7, %s, %s)", (kept, kept + 2))
        for number in range(3):
            await w.m.send(room, ALICE, f"message {number}")
        assert live.following.follower.position.pos == kept
        told = joined(await alice.ask(f"since=s{kept + 1}_0_0-0"), room)
        assert told["timeline"]["limited"] is True
        assert ("m.room.create", "") in types(told["state"]["events"])

    play(scenario)


def test_a_position_in_a_gap_belongs_to_a_lost_history(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        await db.execute("INSERT INTO epochs (epoch, prev, first) VALUES (100, 0, 100), (900, 150, 900)")
        lost = LostHistory(db, lambda: 900)
        asked = {position: await lost.before(position) for position in (50, 100, 150, 151, 899, 900, 2000)}
        assert asked == {50: 0, 100: None, 150: None, 151: 150, 899: 150, 900: None, 2000: None}
        await db.close()

    run(check())
