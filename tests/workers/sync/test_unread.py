"""Unread counts: bounds, threads, push rules, the cache."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.reading import load_unread
from hs_common.reading.unread import MAIN, MAXIMUM_COUNT, CachedCount, Counts, RoomUnread, continued, lower_bounds
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, World, joined

BY_THREAD = {"room": {"timeline": {"unread_thread_notifications": True}}}


async def counts(w: World, room: str, user_id: str = ALICE, **options: Any) -> tuple[int, int]:
    """(notifications, highlights) in all."""
    told = joined(await w.sync(user_id, **options), room)["unread_notifications"]
    return told["notification_count"], told["highlight_count"]


async def two_in_a_room(w: World) -> str:
    room = await w.m.create_room(ALICE)
    await w.m.member(room, BOB, "join")
    return room


def test_what_others_say_counts_until_it_is_read_or_answered(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await two_in_a_room(w)
        one = await w.m.send(room, BOB, "1")
        await w.m.send(room, BOB, "you", **{"m.mentions": {"user_ids": [ALICE]}})
        await w.m.event(
            room, BOB, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": one, "key": "k"}}
        )
        assert await counts(w, room) == (2, 1)
        await w.read(ALICE, room, one)
        assert await counts(w, room) == (1, 1)
        await w.m.send(room, ALICE, "answer")
        assert await counts(w, room) == (0, 0)
        assert await counts(w, room, BOB) == (1, 0)

    play(scenario)


def test_who_joins_has_nothing_to_catch_up_on(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.send(room, ALICE, "before")
        await w.m.member(room, BOB, "join")
        assert await counts(w, room, BOB) == (0, 0)

    play(scenario)


def test_threads_are_counted_apart_if_the_filter_says_so(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await two_in_a_room(w)
        root = await w.m.send(room, BOB, "root")
        reply = await w.m.send(room, BOB, "in it", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})

        async def by_thread() -> tuple[int, Any]:
            told = joined(await w.sync(ALICE, filter=BY_THREAD), room)
            return told["unread_notifications"]["notification_count"], told.get("unread_thread_notifications")

        one = {root: {"notification_count": 1, "highlight_count": 0}}
        assert (await counts(w, room))[0] == 2
        assert await by_thread() == (1, one)
        await w.read(ALICE, room, reply, thread="main")
        assert await by_thread() == (0, one)
        await w.read(ALICE, room, reply, "m.read.private", root)
        assert await by_thread() == (0, None)
        await w.m.send(room, BOB, "more", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
        await w.m.send(room, ALICE, "own", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
        assert await by_thread() == (0, None)

    play(scenario)


@pytest.mark.parametrize(
    ("kind", "rule", "expected"),
    [
        (
            "override",
            {"conditions": [{"kind": "event_match", "key": "room_id", "pattern": "{room}"}], "actions": []},
            0,
        ),
        ("sender", {"rule_id": BOB, "actions": []}, 0),
        ("content", {"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]}, 3),
        ("override", {"conditions": [{"kind": "contains_display_name"}], "actions": []}, 2),
    ],
)
def test_own_rules_decide(play: Play, kind: str, rule: dict[str, Any], expected: int) -> None:
    async def scenario(w: World) -> None:
        room = await two_in_a_room(w)
        await w.m.member(room, ALICE, "join", displayname="Alice")
        for text in ("cake!", "Alice", "nothing"):
            await w.m.send(room, BOB, text)
        full = {"rule_id": "own", "default": False, "enabled": True, **rule}
        for condition in full.get("conditions", ()):
            if condition.get("pattern") == "{room}":
                condition["pattern"] = room
        await w.set_data(ALICE, "m.push_rules", {"global": {kind: [full]}})
        assert await counts(w, room) == (expected, 1 if kind == "content" else 0)

    play(scenario)


def test_what_was_counted_is_kept_and_carried_on(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await two_in_a_room(w)
        sent = [await w.m.send(room, BOB, str(number)) for number in range(60)]
        assert await counts(w, room) == (60, 0)
        await w.m.db.execute("UPDATE unread_cache SET notifications = 100 WHERE thread_id = 'main'")
        await w.m.send(room, BOB, "more")
        assert await counts(w, room) == (101, 0)  # from the cache
        await w.m.event(room, BOB, "m.room.redaction", {"redacts": sent[0]}, redacts=sent[0])
        assert await counts(w, room) == (60, 0)  # a redaction counts anew
        await w.m.db.execute("UPDATE unread_cache SET notifications = 100 WHERE thread_id = 'main'")
        await w.read(ALICE, room, sent[30])
        assert await counts(w, room) == (30, 0)  # read in part: counted anew
        await w.m.send(room, ALICE, "answer")
        await w.m.send(room, BOB, "more")
        assert await counts(w, room) == (1, 0)

    play(scenario)


def test_a_count_ends_somewhere() -> None:
    unread = RoomUnread()
    unread.add(MAIN, MAXIMUM_COUNT - 1, 0)
    unread.add(MAIN, 5, 5)
    assert unread.counts[MAIN] == Counts(MAXIMUM_COUNT, 5)


def test_a_receipt_of_found_history_leaves_the_event_behind_it_unread() -> None:
    assert lower_bounds(1, [("", 10, -3)], []).base == 9
    assert lower_bounds(1, [("", 10, 0)], [(None, 20), ("$root", 30)]).bounds == {MAIN: 20, "$root": 30}


_CASES = st.tuples(
    st.integers(0, 20),  # base when it was counted
    st.integers(0, 20),  # how far it was counted, above that
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["main", "$a", "$b"])), max_size=12),  # events
    st.integers(0, 40),  # the unthreaded receipt since then
    st.dictionaries(st.sampled_from(["main", "$a", "$b"]), st.integers(0, 40), max_size=2),  # threaded ones
)


@given(_CASES)
def test_carried_on_or_anew_the_counts_are_the_same(case: tuple[Any, ...]) -> None:
    base, further, events, receipt, threaded = case

    def count(unread: RoomUnread, now: int) -> RoomUnread:
        for place, thread in events:
            if unread.counted_to < place <= now and place > unread.bound(thread):
                unread.add(thread, 1, 0)
        unread.counted_to = now
        return unread

    counted_to = base + further
    before = count(RoomUnread(base=base, counted_to=base), counted_to)
    rows = [CachedCount("!r", "", base, counted_to, 0, 0)]
    rows += [CachedCount("!r", thread, base, counted_to, *counts) for thread, counts in before.counts.items()]
    receipts = [("", max(base, receipt), 0), *((thread, place, 0) for thread, place in threaded.items())]
    anew = count(lower_bounds(0, receipts, ()), 50)
    carried = lower_bounds(0, receipts, ())
    continued(carried, rows, 50)
    assert count(carried, 50).counts == anew.counts


def test_own_rules_search_only_so_much_for_one_answer(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(w: World) -> None:
        room = await two_in_a_room(w)
        rule = {"rule_id": "w", "pattern": "word", "actions": ["notify", {"set_tweak": "highlight"}], "enabled": True}
        await w.set_data(ALICE, "m.push_rules", {"global": {"content": [rule]}})
        for _ in range(9):
            await w.m.send(room, BOB, "the word")
        assert await counts(w, room) == (9, 9)
        (length,) = await w.m.db.fetch_one("SELECT max(length(json)) FROM events WHERE json LIKE '%the word%'") or ()
        monkeypatch.setattr(load_unread, "MAXIMUM_SEARCHED", 2 * 5 * length)  # one condition, and the decoding
        told, highlights = await counts(w, room)
        assert (told, highlights) == (5, 5)

    play(scenario)
