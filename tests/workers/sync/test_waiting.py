"""Clients that wait: woken by what concerns them, told when their token dies, let go at the end."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred

from hs_common.http.reply import Encoded
from hs_common.http.request import Query, Request, Requester
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import parse_sync_token
from hs_common.replication import items
from hs_common.replication.calls import SetPresence
from hs_common.replication.ephemeral import Presence, Typing, encode_message
from hs_workers.sync.parameters import Reader
from hs_workers.sync.sync import Sync
from tests.reactor import until
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.world import ALICE, BOB, CAROL, Body, World, bodies, joined


class HandExchange:
    """The quick lane's side of a request."""

    def __init__(self, requester: Requester, query: str, started_s: float) -> None:
        self.requester = requester
        self.query_string = query.encode()
        self.started_s = started_s
        self.has_begun = False
        self.on_gone: Callable[[], None] = lambda: None
        self.done: Deferred[bytes | None] = Deferred(lambda _: self.on_gone())
        """The answer; None when it is handed over."""

    def begin(self) -> None:
        self.has_begun = True

    def answer(self, json: bytes) -> None:
        self.done.callback(json)

    def refuse(self, error: Exception) -> None:
        self.done.errback(error)

    def hand_over(self) -> None:
        self.done.callback(None)

    def on_its_behalf(self, call: Callable[[], None]) -> None:
        call()


class Poller:
    """A client of `/sync` at the endpoint; with `is_quick` at its quick way first, with everything in memory that a
    poll before would have left there."""

    is_quick = False

    def __init__(self, live: Live, user_id: str) -> None:
        self.live = live
        self.user_id = user_id
        self.requester = Requester(user_id, "DEVICE", user_id.encode())
        self.went: list[str] = []
        """Which way each request went."""
        endpoint = live.parts.endpoints[0]
        assert isinstance(endpoint, Sync)
        self.endpoint = endpoint

    async def ask(self, query: str) -> Body:
        """One request."""
        started_s = self.live.clock.seconds()
        if self.is_quick:
            await self._remember(query)
            exchange: Any = HandExchange(self.requester, query, started_s)
            quick = self.live.parts.quick
            taken = quick.take(exchange)
            assert quick.may_want(query.encode()) or not taken
            if taken:
                assert exchange.has_begun
                json = await exchange.done
                self.went.append("over" if json is None else "quick")
                if json is not None:
                    return body_of(json)
            else:
                assert not exchange.has_begun
                self.went.append("long")
        request = Request(query_string=query.encode(), requester=self.requester, started_s=started_s)
        reply = await self.endpoint.sync(request)
        assert isinstance(reply, Encoded)
        return body_of(reply.json)

    async def _remember(self, query: str) -> None:
        parts, since = self.live.parts, Query(query.encode()).string("since", None)
        if since is not None and since.startswith("s"):
            reader, token = Reader(self.user_id, "DEVICE"), parse_sync_token(since)
            await parts.audience.track(self.user_id)
            await parts.settings.of(self.user_id)
            await parts.answering.lost.before(token.position)
            await parts.devices.refresh(reader, token, self.live.following.follower.position.pos)
            parts.devices.from_memory(reader, token)

    def poll(self, since: str, more: str = "") -> "Deferred[Body]":
        """A request that waits."""
        return Deferred.fromCoroutine(self.ask(f"since={since}&timeout=30000{more}"))

    async def waits(self, poll: "Deferred[Any]") -> None:
        """Until the request has nothing to do but wait."""
        await until(lambda: len(self.live.parts.waiting) > 0)
        assert not poll.called


def body_of(json: bytes) -> Body:
    body: Body = orjson.loads(json)
    return body


@pytest.fixture(params=["long", "quick"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every play is played both ways."""
    monkeypatch.setattr(Poller, "is_quick", request.param == "quick")


def test_a_message_wakes_those_in_the_room_and_nobody_else(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        live = Live(w)
        live.start()
        bob, carol = Poller(live, BOB), Poller(live, CAROL)
        first = (await bob.ask(""))["next_batch"]
        poll = bob.poll(first)
        await bob.waits(poll)
        stranger = carol.poll((await carol.ask(""))["next_batch"])
        assert live.following.hurried == 1
        await until(lambda: len(live.parts.waiting) == 2)
        assert live.following.someone_waits()
        assert live.following.hurried == 1  # only where nobody waited before a pause may be under way
        await w.m.send(room, ALICE, "wake up")
        live.follow()
        assert bodies(joined(await poll, room)) == ["wake up"]
        assert not stranger.called
        live.clock.advance(30)
        assert "rooms" not in await stranger
        assert len(live.parts.waiting) == 0

    play(scenario)


@pytest.mark.parametrize("lane", ["general", "fast"])
def test_what_comes_while_the_answer_is_made_is_not_missed(play: Play, lane: str) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        alice = Poller(live, ALICE)
        since = (await alice.ask(""))["next_batch"]
        if lane == "fast":
            await live.parts.audience.track(ALICE)
        poll = alice.poll(since)
        await w.m.send(room, ALICE, "meanwhile")
        live.follow()
        assert bodies(joined(await poll, room)) == ["meanwhile"]

    play(scenario)


def test_news_of_each_kind_wake(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        event_id = await w.m.send(room, ALICE, "hello")
        other = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        since = (await bob.ask(""))["next_batch"]
        presence = Presence(ALICE, "online", 0, True, None)
        kinds: dict[str, Callable[[], Any]] = {
            "receipt": lambda: w.read(ALICE, room, event_id),
            "account data": lambda: w.set_data(BOB, "org.example", {}),
            "invite": lambda: w.m.member(other, ALICE, "invite", BOB),
            "typing": lambda: live.hear(encode_message(Typing(room, (ALICE,)))),
            "presence": lambda: live.hear(encode_message(presence)),
        }
        for kind, act in kinds.items():
            poll = bob.poll(since)
            await bob.waits(poll)
            done = act()
            if done is not None:
                await done
            live.follow()
            body = await poll
            assert set(body) & {"rooms", "account_data", "presence"}, kind
            since = body["next_batch"]
        await live.background.drained()

    play(scenario)


def test_another_users_private_receipt_wakes_nobody(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        event_id = await w.m.send(room, ALICE, "hello")
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        poll = bob.poll((await bob.ask(""))["next_batch"])
        await bob.waits(poll)
        await w.read(ALICE, room, event_id, "m.read.private")
        live.follow()
        assert not poll.called
        live.parts.end()
        await poll

    play(scenario)


def test_what_a_filter_leaves_out_does_not_end_the_wait(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        live = Live(w)
        live.start()
        alice = Poller(live, ALICE)
        filter = '&filter={"room":{"timeline":{"types":["org.example"]}}}'
        poll = alice.poll((await alice.ask(""))["next_batch"], filter)
        await alice.waits(poll)
        await w.m.send(room, ALICE, "hello")
        live.follow()
        await alice.waits(poll)
        await w.m.event(room, ALICE, "org.example", {})
        live.follow()
        (event,) = joined(await poll, room)["timeline"]["events"]
        assert event["type"] == "org.example"

    play(scenario)


@pytest.mark.parametrize(
    ("item", "errcode"),
    [
        (items.SessionsItem(BOB, [BOB.encode()]), "M_UNKNOWN_TOKEN"),
        (items.UserItem(BOB, locked=True), "M_USER_LOCKED"),
        (items.UserItem(BOB, deactivated=True), "M_UNKNOWN_TOKEN"),
    ],
)
def test_a_revocation_ends_the_wait(play: Play, item: items.Item, errcode: str) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(BOB)
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        poll = bob.poll((await bob.ask(""))["next_batch"])
        await bob.waits(poll)
        live.apply_item(items.SessionsItem(BOB, [b"another token"]))
        assert not poll.called
        live.apply_item(item)
        with pytest.raises(MatrixError) as refused:
            await poll
        assert (refused.value.status, refused.value.errcode) == (401, errcode)

    play(scenario)


def test_the_end_of_the_process_gives_the_token_back(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(BOB)
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        since = (await bob.ask(""))["next_batch"]
        poll = bob.poll(since)
        await bob.waits(poll)
        live.parts.end()
        assert (await poll)["next_batch"] == since
        assert (await bob.poll(since))["next_batch"] == since

    play(scenario)


def test_a_client_that_goes_away_leaves_nothing(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.m.create_room(BOB)
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        poll = bob.poll((await bob.ask(""))["next_batch"])
        await bob.waits(poll)
        poll.addErrback(lambda failure: None)
        poll.cancel()
        assert len(live.parts.waiting) == 0
        assert live.clock.getDelayedCalls() == []

    play(scenario)


def test_when_the_log_begins_anew_everybody_asks_again(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(BOB)
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        poll = bob.poll((await bob.ask(""))["next_batch"])
        await bob.waits(poll)
        await w.m.send(room, BOB, "missed")
        live.start()
        live.follow()
        assert bodies(joined(await poll, room)) == ["missed"]

    play(scenario)


def test_who_syncs_is_there(play: Play) -> None:
    async def scenario(w: World) -> None:
        live = Live(w)
        live.start()
        bob = Poller(live, BOB)
        since = (await bob.ask("set_presence=unavailable"))["next_batch"]
        await bob.ask("set_presence=offline")
        await bob.ask("set_presence=unavailable")
        assert live.link.calls == [SetPresence(user_id=BOB, presence="unavailable", by_sync=True, device_id="DEVICE")]
        poll = bob.poll(since, "&set_presence=unavailable")
        await bob.waits(poll)
        live.clock.advance(29.9)
        assert len(live.link.calls) == 1
        live.clock.advance(0.1)
        await poll
        await bob.ask("set_presence=unavailable")
        assert len(live.link.calls) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ("since=nonsense", "M_INVALID_PARAM"),
        ("timeout=-1", "M_INVALID_PARAM"),
        ("timeout=soon", "M_INVALID_PARAM"),
        ("set_presence=busy", "M_INVALID_PARAM"),
        ("full_state=1", "M_INVALID_PARAM"),
        ("filter={", "M_BAD_JSON"),
        ('filter={"room":[]}', "M_BAD_JSON"),
        ("filter=unknown", "M_INVALID_PARAM"),
    ],
)
def test_bad_parameters_are_refused(play: Play, query: str, errcode: str) -> None:
    async def scenario(w: World) -> None:
        live = Live(w)
        live.start()
        with pytest.raises(MatrixError) as refused:
            await Poller(live, BOB).ask(query)
        assert (refused.value.status, refused.value.errcode) == (400, errcode)

    play(scenario)


def test_a_stored_filter_is_found_by_its_id(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(BOB)
        await w.m.db.execute(
            "INSERT INTO filters (user_id, filter_id, json) VALUES (%s, 'x', %s)",
            (BOB, '{"room":{"timeline":{"limit":1}}}'),
        )
        live = Live(w)
        live.start()
        for _ in range(2):  # read, then remembered
            assert len(joined(await Poller(live, BOB).ask("filter=x"), room)["timeline"]["events"]) == 1

    play(scenario)
