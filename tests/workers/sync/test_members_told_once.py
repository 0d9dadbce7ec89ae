"""Lazy loading tells a device of a member once, until he changes: whatever it asks for again, however long it waits.

Spec: client-server API, #lazy-loading-room-members: repeating is allowed; what a worker knows that the device has, it
does not repeat. Senders are always told, or known.
"""

from typing import Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.reactor import until
from tests.workers.sync.by_plan import Step, by_plan, steps
from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, histories
from tests.workers.sync.live import Live
from tests.workers.sync.test_waiting import Poller
from tests.workers.sync.world import ALICE, BOB, Body, World, bodies, joined

MEMBER: Final = "m.room.member"
FILTER: Final = '&filter={"room":{"state":{"lazy_load_members":true},"timeline":{"not_types":["org.example"]}}}'


def members(body: Body, room_id: str) -> list[str]:
    """Of whom the state of an answer tells."""
    return [event["state_key"] for event in joined(body, room_id)["state"]["events"] if event["type"] == MEMBER]


@pytest.mark.parametrize("is_quick", [False, True])
def test_a_poll_that_broke_off_after_a_while_is_asked_for_again(play: Play, is_quick: bool) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.send(room, ALICE, "before")
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        bob.is_quick = is_quick
        first = await bob.ask(FILTER)
        assert sorted(members(first, room)) == []  # both joined within the timeline
        poll = bob.poll(first["next_batch"], FILTER)
        await bob.waits(poll)
        for _ in range(4):  # each wakes him, and is nothing to him
            await w.m.event(room, ALICE, "org.example", {})
            live.follow()
            await bob.waits(poll)
        poll.addErrback(lambda failure: None)
        poll.cancel()
        await w.m.send(room, ALICE, "heard")
        live.follow()
        again = await bob.poll(first["next_batch"], FILTER)
        assert bodies(joined(again, room)) == ["heard"]
        assert members(again, room) == []

    play(scenario)


Held = dict[tuple[str, str], str]
HOW: Final = ("at once", "again", "poll", "poll", "break")


class Device:
    """A client with lazy loading. It knows of each token what it held with it, and how much of that the worker can know
    that gave it out: one that was restarted begins anew."""

    def __init__(self, user_id: str, filter: str) -> None:
        self.user_id = user_id
        self.tokens: dict[str, tuple[Held, Held, object]] = {}
        self.token: str | None = None
        self.before: str | None = None
        self._filter = filter
        self._poll: Deferred[Body] | None = None
        self._asked: tuple[Live, str] | None = None

    async def ask(self, live: Live, how: str, is_quick: bool) -> None:
        """Takes what came meanwhile, then does something else."""
        await self._take()
        if self._asked is not None and self._asked[0] is not live:
            self._break_off()  # as the worker that he waits at is no more
        if how == "poll" and self.token is not None:
            await self._wait(live, is_quick)
            return
        self._break_off()
        if how != "break":
            since = self.before if how == "again" else self.token
            query = self._filter if since is None else f"since={since}{self._filter}"
            self._apply(live, since, await Poller(live, self.user_id).ask(query))

    async def _wait(self, live: Live, is_quick: bool) -> None:
        if self._poll is None:
            assert self.token is not None
            live.follow()  # a token may come from where it has not been: who waits is waited for
            poller = Poller(live, self.user_id)
            poller.is_quick = is_quick
            self._asked, waiting = (live, self.token), len(live.parts.waiting)
            poll = self._poll = poller.poll(self.token, self._filter)
            await until(lambda: poll.called or len(live.parts.waiting) > waiting)

    async def _take(self) -> None:
        poll, asked = self._poll, self._asked
        if poll is not None and asked is not None and poll.called:
            self._poll = self._asked = None
            self._apply(*asked, await poll)

    def _break_off(self) -> None:
        poll, self._poll, self._asked = self._poll, None, None
        if poll is not None:
            poll.addErrback(lambda failure: None)
            poll.cancel()

    def _apply(self, live: Live, since: str | None, body: Body) -> None:
        held, known, worker = ({}, {}, None) if since is None else self.tokens[since]
        known = known if worker is live else {}
        rooms, told = body.get("rooms", {}), Held()
        left = rooms.get("leave", {}).keys()
        for room_id, room in rooms.get("join", {}).items():
            state, timeline = room["state"]["events"], room["timeline"]["events"]
            is_whole = any(event["type"] == "m.room.create" for event in state)
            for event in (one for one in state if one["type"] == MEMBER):
                is_repeated = known.get((room_id, event["state_key"])) == event["event_id"]
                assert is_whole or not is_repeated, f"{event['state_key']} again"
            told |= {
                (room_id, event["state_key"]): event["event_id"]
                for event in (*state, *timeline)
                if event["type"] == MEMBER
            }
            assert all((room_id, event["sender"]) in held | told for event in timeline), "a sender whom nobody knows"
        held, known = ({key: one for key, one in had.items() if key[0] not in left} | told for had in (held, known))
        self.before, self.token = since, body["next_batch"]
        self.tokens[body["next_batch"]] = (held, known, live)


def lazily(limit: int) -> str:
    """A filter by which much that happens is nothing to the client."""
    nothing: Body = {"types": []}
    timeline = {"limit": limit, "not_types": ["m.reaction"]}
    room = {"state": {"lazy_load_members": True}, "timeline": timeline, "ephemeral": nothing, "account_data": nothing}
    return f"&filter={orjson.dumps({'room': room, 'account_data': nothing, 'presence': nothing}).decode()}"


asked = st.tuples(st.sampled_from(USERS), st.sampled_from(HOW), st.booleans())


@settings(max_examples=12)
@given(acts=histories, plan=st.lists(steps(asked), min_size=4, max_size=20), limit=st.integers(1, 20))
def test_nobody_is_told_twice_who_has_not_changed(play: Play, acts: list[Act], plan: list[Step], limit: int) -> None:
    async def scenario(w: World) -> None:
        devices = {user: Device(user, lazily(limit)) for user in USERS}

        async def ask(live: Live, asked: tuple[str, str, bool]) -> None:
            user, how, is_quick = asked
            await devices[user].ask(live, how, is_quick)
            await live.background.drained()

        live = await by_plan(w, acts, plan, ask)
        for user in USERS:
            await ask(live, (user, "at once", False))

    play(scenario)
