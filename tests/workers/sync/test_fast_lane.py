"""The fast lane and the general way give the same answers."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.matrix.tokens import SyncToken
from hs_common.replication.ephemeral import Typing, encode_message
from hs_workers.sync.answer import Answer
from hs_workers.sync.audience import TrackedUser
from hs_workers.sync.general import Question
from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, History, acts
from tests.workers.sync.live import Live
from tests.workers.sync.world import ALICE, BOB, CAROL, World, bodies, joined

_LAZY = {"room": {"state": {"lazy_load_members": True}}}
_THREADS = {"room": {"timeline": {"unread_thread_notifications": True}}}
_FILTERS: tuple[dict[str, Any], ...] = (
    {},
    _LAZY,
    _THREADS,
    {"room": {"timeline": {"limit": 1, "not_types": ["m.reaction"]}}},
)


class Both:
    """Answers each question by the general way, and by the fast lane where that can."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.tokens: dict[tuple[str, int], SyncToken] = {}

    async def ask(self, user_id: str, number: int) -> None:
        """A user's client with the filter of a number syncs from where it was."""
        live, parts = self.live, self.live.parts
        user = await parts.audience.track(user_id)
        question = await live.w.question(
            user_id,
            self.tokens.get((user_id, number)),
            at=live.following.follower.position.pos,
            filter=_FILTERS[number],
            device_id=f"{number}",
        )
        fast = parts.fast.answer(question, user)
        self._hold_to_alone(question, user, fast)
        general, counts = await parts.general.answer(question)
        if fast is not None:
            assert orjson.loads(fast.body) == orjson.loads(general.body)
            assert (fast.has_news, fast.next_batch) == (general.has_news, general.next_batch)
        parts.fast.counted(user_id, counts)
        self.tokens[user_id, number] = general.next_batch

    def _hold_to_alone(self, question: Question, user: TrackedUser, fast: Answer | None) -> None:
        """What is shared by readers is what the fast lane finds for one alone, to the byte."""
        if fast is not None and question.since is not None:
            alone = self.live.parts.fast.alone(question, question.since, user)
            assert alone == fast


@settings(max_examples=15)
@given(history=st.lists(st.tuples(acts, st.booleans(), st.integers(0, 3)), min_size=5, max_size=25))
def test_both_ways_give_the_same_body(play: Play, history: list[tuple[Act, bool, int]]) -> None:
    async def scenario(w: World) -> None:
        played = History(w)
        await played.begin()
        for user in USERS[1:]:
            await w.m.member(played.rooms[0], user, "join")
        live = Live(w)
        live.start()
        both = Both(live)
        for user in USERS:
            for number in range(len(_FILTERS)):
                await both.ask(user, number)
        for act, asks, number in history:
            await played.play(act)
            if act.choice == 0:
                live.hear(encode_message(Typing(played.rooms[act.room], (act.target,))))
            live.follow()
            if asks:
                for user in USERS:
                    await both.ask(user, number)
        for user in USERS:
            for number in range(len(_FILTERS)):
                await both.ask(user, number)
        await live.background.drained()

    play(scenario)


def test_messages_receipts_and_data_go_by_the_fast_lane(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        live = Live(w)
        live.start()
        both = Both(live)
        for number in (0, 2):
            await both.ask(ALICE, number)
        first = await w.m.send(room, BOB, "one")
        live.follow()
        await both.ask(ALICE, 0)
        await w.read(ALICE, room, first)
        await w.set_data(ALICE, "m.tag", {"tags": {}}, room)
        await w.set_data(ALICE, "org.example", {"a": 1})
        await w.m.send(room, ALICE, "two", **{"m.mentions": {"user_ids": [BOB]}})
        live.follow()
        for number in (0, 2):
            await both.ask(ALICE, number)
        assert live.parts.fast.answered == 3

    play(scenario)


def test_what_is_unusual_is_left_to_the_general_way(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        live = Live(w)
        live.start()
        both = Both(live)
        await both.ask(ALICE, 0)
        sent = await w.m.send(room, BOB, "one")
        unusual = (
            lambda: w.m.event(room, ALICE, "m.room.topic", {"topic": "t"}, state_key=""),
            lambda: w.m.event(room, ALICE, "m.room.redaction", {"redacts": sent}, redacts=sent),
            lambda: w.m.member(room, BOB, "leave"),
            lambda: w.set_data(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}}}),
        )
        for act in unusual:
            before = live.parts.fast.declined
            await act()
            live.follow()
            await both.ask(ALICE, 0)
            assert live.parts.fast.declined == before + 1

    play(scenario)


def test_readers_at_one_place_share_what_is_alike(play: Play) -> None:
    """Two of the same room; of another room, of one's own message, and of what was ignored they are told alone."""

    async def scenario(w: World) -> None:
        room, other = await w.m.create_room(CAROL), await w.m.create_room(CAROL)
        for user in (ALICE, BOB):
            await w.m.member(room, user, "join")
        await w.m.member(other, ALICE, "join")
        live = Live(w)
        live.start()
        both, shared = Both(live), live.parts.shared

        async def ask(alike: int) -> None:
            before = shared.answered
            for user in (ALICE, BOB):
                for number in range(len(_FILTERS)):
                    await both.ask(user, number)
            assert shared.answered == before + alike

        await ask(0)
        for body in ("one", 'two, an emoji \N{GRINNING FACE} and a " in it'):
            await w.m.send(room, CAROL, body)
            live.follow()
            await ask(8)
        await w.m.send(room, CAROL, "twice")
        await w.m.send(room, CAROL, "of which a filter takes one")
        live.follow()
        await ask(6)
        await w.m.send(other, CAROL, "Bob is not in it")
        live.follow()
        await ask(4)
        await w.m.send(room, ALICE, "Alice's own")
        live.follow()
        await ask(4)
        await w.m.send(room, CAROL, "among other things")
        await w.set_data(ALICE, "org.example", {"a": 1})
        live.follow()
        await ask(4)
        await w.set_data(BOB, "m.ignored_user_list", {"ignored_users": {CAROL: {}}})
        live.follow()
        await ask(0)
        await w.m.send(room, CAROL, "not to Bob")
        live.follow()
        await ask(4)

    play(scenario)


def test_an_old_token_is_not_in_the_window(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        body = await w.sync(ALICE)
        await w.m.send(room, ALICE, "before the process began")
        live = Live(w)
        live.start()
        user = await live.parts.audience.track(ALICE)
        question = await w.question(ALICE, body["next_batch"])
        assert live.parts.fast.answer(question, user) is None
        assert bodies(joined(await w.sync(ALICE, body["next_batch"]), room)) == ["before the process began"]

    play(scenario)
