"""Nothing is lost and nothing pushed twice, whoever fails, hangs, dies or comes: by share, by cursor, by queue."""

from random import Random

from twisted.internet.defer import Deferred

from hs_workers.push.pushing import LONGEST_RETRY_S, retry_s
from tests.reactor import sleep, until
from tests.workers.fake_site import HANG
from tests.workers.push.conftest import Play
from tests.workers.push.world import ALICE, BOB, World

USERS = [f"@user{number}:test" for number in range(6)]


async def people(w: World) -> str:
    """A room of users with a pusher each, named as they are."""
    for user_id in USERS:
        await w.user(user_id)
        await w.pusher(user_id, user_id)
    return await w.room(*USERS)


def in_order(w: World, events: list[str]) -> bool:
    """Each pusher got each event once, in order."""
    return all(w.gateway.events(user_id) == events for user_id in USERS)


def test_workers_share_the_users_and_take_over_from_who_ends_or_dies(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        first = w.start_worker()
        events = [await w.m.send(room, ALICE, "to one worker")]
        await w.settled()
        second, third = w.start_worker(), w.start_worker()
        await until(lambda: len(second.parts.judge.shards) > 40 and len(third.parts.judge.shards) > 40)
        events += [await w.m.send(room, ALICE, f"to three {number}") for number in range(3)]
        await w.settled()
        assert in_order(w, events)
        await w.stop(first)
        events += [await w.m.send(room, ALICE, f"to two {number}") for number in range(3)]
        await w.settled()
        await w.kill(second)
        events += [await w.m.send(room, ALICE, f"to one, after a while {number}") for number in range(3)]
        await w.settled()
        assert in_order(w, events)

    play(scenario)


def test_what_came_while_nobody_pushed_is_pushed_later_once(play: Play) -> None:
    async def scenario(w: World) -> None:
        worker = w.start_worker()
        room = await people(w)
        events = [await w.m.send(room, ALICE, "before")]
        await w.settled()
        await w.kill(worker)
        events += [await w.m.send(room, ALICE, f"meanwhile {number}") for number in range(5)]
        await w.m.member(room, USERS[0], "leave")
        await w.m.send(room, ALICE, "he has left")
        invite = await w.m.member(await w.m.create_room(ALICE), ALICE, "invite", USERS[0])
        await w.read(USERS[1], room, events[3])
        w.start_worker()
        await w.settled()
        assert w.gateway.events(USERS[2])[:6] == events
        assert len(w.gateway.events(USERS[2])) == 7
        assert w.gateway.events(USERS[1])[:3] == [events[0], *events[4:]]
        assert w.gateway.events(USERS[0]) == [events[0], invite]

    play(scenario)


def test_a_log_begun_anew_is_read_from_the_tables(play: Play) -> None:
    async def scenario(w: World) -> None:
        worker = w.start_worker()
        room = await people(w)
        events = [await w.m.send(room, ALICE, "heard")]
        await w.settled()
        worker.deaf = True
        events += [await w.m.send(room, ALICE, f"not heard {number}") for number in range(3)]
        worker.begin_anew(w.m.entries[-1].pos)
        events += [await w.m.send(room, ALICE, "heard again")]
        await w.settled()
        assert in_order(w, events)

    play(scenario)


def test_a_worker_that_dies_while_a_gateway_answers_pushes_that_one_again_and_no_other(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.user(BOB)
        worker = w.start_worker()
        room = await w.room(BOB)
        await w.pusher(BOB)
        first = await w.m.send(room, ALICE, "first")
        await w.settled()
        w.gateway.behave = lambda notification: HANG
        second = await w.m.send(room, ALICE, "in the air")
        await until(lambda: len(w.gateway.asked) == 2)
        third = await w.m.send(room, ALICE, "behind it")
        w.gateway.behave = lambda notification: 200
        await w.kill(worker)
        w.start_worker()
        await w.settled()
        assert w.gateway.events() == [first, second, second, third]

    play(scenario)


def test_a_worker_that_ends_waits_for_the_answer_to_what_left(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.user(BOB)
        worker = w.start_worker()
        room = await w.room(BOB)
        await w.pusher(BOB)
        w.gateway.behave = lambda notification: HANG
        first = await w.m.send(room, ALICE, "in the air")
        await until(lambda: w.gateway.asked)
        stopping = w.stop(worker)
        w.gateway.behave = lambda notification: 200
        other = w.start_worker()
        second = await w.m.send(room, ALICE, "behind it")
        ended = Deferred.fromCoroutine(stopping)
        await sleep(0.1)
        assert not other.parts.judge.shards
        w.gateway.answer_the_hung()
        await ended
        await w.settled()
        assert w.gateway.events() == [first, second]

    play(scenario)


def test_one_gateway_that_fails_holds_up_nobody_else_and_old_things_are_dropped(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.user(ALICE)
        await w.user(BOB)
        w.start_worker()
        room = await w.room(BOB)
        await w.pusher(BOB, "broken", data={"url": "http://127.0.0.1:1/"})
        await w.pusher(BOB, "private", data={"url": "http://10.1.2.3/"})
        await w.pusher(BOB, "good")
        event_id = await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.events("good") == [event_id])
        errors: list[str] = []
        for _ in range(200):
            rows = await w.m.db.fetch("SELECT last_error FROM push_states WHERE failures > 0 ORDER BY pusher_id")
            errors = [error for (error,) in rows]
            if len(errors) == 2:
                break
            await sleep(0.02)
        assert errors[0].startswith("connect")
        assert errors[1].startswith("not_allowed")
        await w.settled_but_for(2)
        await w.m.db.execute("UPDATE push_queue SET at_ms = 0")
        await w.settled()

    play(scenario)


def test_waits_grow_to_a_limit() -> None:
    random = Random(1)
    waits = [retry_s(failures, random) for failures in (1, 2, 5, 20, 10_000)]
    assert all(0 < wait <= LONGEST_RETRY_S for wait in waits)
    assert waits[0] < waits[1] < waits[2] < waits[3]
