"""The quick way of `/sync`: what goes by it, what does not, and what begins there and goes on by the long way.

That its answers are right is shown where answers are: test_waiting.py plays everything both ways, and the fast lane is
held to the general way.
"""

from typing import Any

import pytest
from twisted.logger import LogLevel, capturedLogs

from hs_common.replication import items
from hs_common.replication.ephemeral import KeyCounts, encode_message
from hs_workers.sync.fast_lane import FastLane
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.test_waiting import Poller
from tests.workers.sync.world import ALICE, BOB, World, bodies, joined


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poller, "is_quick", True)


async def settled(w: World) -> tuple[Live, Poller, str, str]:
    """Bob in a room with Alice, with his token."""
    room = await w.m.create_room(ALICE)
    await w.m.member(room, BOB, "join")
    live = Live(w)
    live.start()
    bob = Poller(live, BOB)
    since = (await bob.ask("timeout=0"))["next_batch"]
    # The first news of a room are counted in Postgres.
    await w.m.send(room, ALICE, "first")
    live.follow()
    since = (await bob.poll(since))["next_batch"]
    bob.went.clear()
    return live, bob, since, room


def test_messages_and_silence_go_by_it(play: Play) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, room = await settled(w)
        poll = bob.poll(since)
        await bob.waits(poll)
        await w.m.send(room, ALICE, "hello")
        live.follow()
        body = await poll
        assert bodies(joined(body, room)) == ["hello"]
        await w.m.send(room, ALICE, "missed")
        live.follow()
        body = await bob.poll(body["next_batch"])
        assert bodies(joined(body, room)) == ["missed"]
        poll = bob.poll(body["next_batch"])
        await bob.waits(poll)
        live.clock.advance(31)
        assert "rooms" not in await poll
        assert bob.went == ["quick"] * 3

    play(scenario)


def test_what_is_not_a_poll_with_everything_at_hand_goes_the_long_way(play: Play) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, room = await settled(w)
        await bob.ask(f"since={since}")
        await bob.ask(f"since={since}&timeout=1000&full_state=true")
        await bob.ask("timeout=1000")
        await bob.ask("timeout=1000")
        await w.m.member(room, "@carol:test", "join")
        live.follow()
        await bob.poll(since)
        live.parts.end()
        await bob.poll(since)
        assert bob.went == ["long"] * 6

    play(scenario)


def test_what_memory_cannot_tell_hands_the_poll_over(play: Play) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, room = await settled(w)
        poll = bob.poll(since)
        await bob.waits(poll)
        live.clock.advance(20)
        await w.m.member(room, ALICE, "leave", ALICE)
        live.follow()
        body = await poll
        assert joined(body, room)["timeline"]["events"][-1]["content"]["membership"] == "leave"
        assert bob.went == ["over"]

    play(scenario)


def test_a_poll_that_is_handed_over_waits_no_longer_than_it_was_to(play: Play) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, room = await settled(w)
        filter = '&filter={"room":{"timeline":{"types":["org.example"]},"state":{"types":[]}}}'
        await bob.ask(f"since={since}{filter}")  # from now on the filter is known
        bob.went.clear()
        poll = bob.poll(since, filter)
        await bob.waits(poll)
        live.clock.advance(20)
        await w.m.event(room, ALICE, "m.room.topic", {"topic": "x"}, state_key="")
        live.follow()
        await bob.waits(poll)
        assert bob.went == ["over"]
        live.clock.advance(10.1)
        await poll

    play(scenario)


def test_counts_of_keys_that_changed_are_told_once(play: Play) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, _ = await settled(w)
        poll = bob.poll(since)
        await bob.waits(poll)
        await w.m.db.execute(
            "INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key) VALUES (%s, %s, 'a', 'b', '1')",
            (BOB, "DEVICE"),
        )
        live.hear(encode_message(KeyCounts(BOB, "DEVICE")))
        body = await poll
        assert body["device_one_time_keys_count"]["a"] == 1
        assert bob.went == ["over"]

    play(scenario)


def test_a_bug_costs_one_poll_and_not_the_next(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(w: World) -> None:
        live, bob, since, room = await settled(w)
        poll, alice = bob.poll(since), Poller(live, ALICE)
        await bob.waits(poll)
        first = alice.poll((await alice.ask("timeout=0"))["next_batch"])
        await w.m.send(room, ALICE, "hello")

        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(FastLane, "answer", fail)
        with capturedLogs() as logs:
            live.follow()
        for one in (poll, first):
            with pytest.raises(ZeroDivisionError):
                await one
        assert not [event for event in logs if event["log_level"] is LogLevel.critical]
        assert len(live.parts.waiting) == 0
        live.apply_item(items.SessionsItem(BOB, [BOB.encode()]))

    play(scenario)
