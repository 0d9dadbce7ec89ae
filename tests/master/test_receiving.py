"""Events of other servers in the master, on a real PostgreSQL: forks, resolutions, refusals, joining, history.

What the core computes the plain way (`graph.Graph`) is what the master's rows must say.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import StateMap
from hs_common.matrix.signing import SigningKey, sign_event
from hs_common.reading.missing_events import missing_from_timeline
from hs_common.replication.federation_calls import (
    AdoptRoom,
    ComposeTemplate,
    HistoryInserted,
    IncomingEvent,
    InsertHistory,
    Pdu,
    Received,
    ReceiveEvents,
    SetOutOfBandMembership,
    StoredEvents,
    StoreEvents,
    Template,
    Verdict,
)
from hs_common.storage import room_forks, room_gaps
from hs_common.storage.queries import Row
from tests.master.graph import Graph, Node
from tests.master.harness import KEY, SERVER, TestMaster, master
from tests.reactor import run

KEYS = {SERVER: KEY, "there": SigningKey("a_there", b"\x02" * 32), "else": SigningKey("a_else", b"\x03" * 32)}
Facts = dict[str, Any]
ALICE, BOB, CAROL = "@alice:test", "@bob:there", "@carol:else"


def pdu(node: Node) -> Pdu:
    return Pdu(event_id=node.event_id, pdu=node.encoded)


async def store(m: TestMaster, graph: Graph, nodes: Sequence[Node]) -> None:
    call = StoreEvents(room_id=graph.room_id, room_version=graph.version.identifier, events=[pdu(n) for n in nodes])
    answer = await m.call(call)
    assert isinstance(answer, StoredEvents)
    assert not answer.missing
    assert set(answer.rejected) == {node.event_id for node in nodes if node.reason is not None}


async def adopt(m: TestMaster, graph: Graph, join: Node) -> None:
    await store(m, graph, [node for node in graph.auth_chain(join.before) if node is not join])
    version = graph.version.identifier
    state = list(join.before.values())
    await m.call(AdoptRoom(room_id=graph.room_id, room_version=version, event=pdu(join), state=state))


async def receive(m: TestMaster, graph: Graph, *nodes: Node, state: list[str] | None = None) -> list[Verdict]:
    events = [IncomingEvent(event_id=node.event_id, pdu=node.encoded, state=state) for node in nodes]
    answer = await m.call(ReceiveEvents(room_id=graph.room_id, events=events))
    assert isinstance(answer, Received)
    return answer.verdicts


async def receive_all(m: TestMaster, graph: Graph, nodes: Sequence[Node]) -> dict[str, str]:
    """Everything, asking again for what comes later."""
    found: dict[str, str] = {}
    waiting = list(nodes)
    while waiting:
        verdicts = await receive(m, graph, *waiting)
        found |= {one.event_id: one.status for one in verdicts if one.status != "later"}
        left = [node for node, one in zip(waiting, verdicts, strict=True) if one.status == "later"]
        assert len(left) < len(waiting), "each call takes something"
        waiting = left
    return found


async def current_state(m: TestMaster, room_id: str) -> StateMap:
    return {(row[0], row[1]): row[2] for row in await room_forks.current_state(m.db, room_id)}


async def state_before(m: TestMaster, room_id: str, event_id: str) -> StateMap:
    """As the rows tell it: the resolved state at a position, with overrides."""
    (row,) = await room_forks.places(m.db, [event_id])
    _, _, _, _, state_pos, delta_id = row
    rows = await m.db.fetch(
        "SELECT type, state_key, event_id FROM state WHERE room_id = %s AND from_pos <= %s AND to_pos > %s",
        [room_id, state_pos, state_pos],
    )
    state: dict[tuple[str, str], str | None] = {(row[0], row[1]): row[2] for row in rows}
    if delta_id is not None:
        state |= {(row[1], row[2]): row[3] for row in await room_forks.deltas(m.db, [delta_id])}
    return {key: value for key, value in state.items() if value is not None}


def new_room(version: str = "12") -> tuple[Graph, Node]:
    """A public room of BOB's; and the join of ALICE, our user, as the newest event."""
    graph = Graph(version, KEYS)
    newest = graph.create(BOB)
    newest = graph.join(BOB, [newest])
    users = {} if version == "12" else {BOB: 100}
    newest = graph.add(BOB, "m.room.power_levels", {"users": {**users, CAROL: 50}}, "", prevs=[newest])
    newest = graph.add(BOB, "m.room.join_rules", {"join_rule": "public"}, "", prevs=[newest])
    newest = graph.join(CAROL, [newest])
    return graph, graph.join(ALICE, [newest])


@pytest.mark.parametrize("version", ["1", "2", "6", "10", "12"])
def test_a_room_is_entered_and_its_messages_come(database_url: str, version: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room(version)
            await adopt(m, graph, join)
            assert await current_state(m, graph.room_id) == join.after
            assert await state_before(m, graph.room_id, join.event_id) == join.before
            hello = graph.send(BOB, "hello", [join])
            topic = graph.add(CAROL, "m.room.topic", {"topic": "x"}, "", prevs=[hello])
            statuses = [one.status for one in await receive(m, graph, hello, topic)]
            assert statuses == ["accepted", "accepted"]
            assert [one.status for one in await receive(m, graph, hello, topic)] == ["known", "known"]
            ours = await m.send(graph.room_id, ALICE, "hello you")
            assert await state_before(m, graph.room_id, ours) == topic.after
            assert await room_forks.gap(m.db, graph.room_id, (await places(m, join))[3]) == (
                -1,
                list(join.event.prev_event_ids),
            )
            assert set(await room_forks.servers(m.db, graph.room_id)) == {"test", "there", "else"}

    run(play())


async def places(m: TestMaster, node: Node) -> Row:
    (row,) = await room_forks.places(m.db, [node.event_id])
    return row


def test_branches_are_resolved_and_the_next_local_event_ends_them(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            left = graph.add(BOB, "m.room.topic", {"topic": "left"}, "", prevs=[join])
            right = graph.add(CAROL, "m.room.topic", {"topic": "right"}, "", prevs=[join])
            assert await receive_all(m, graph, [left, right]) == {left.event_id: "accepted", right.event_id: "accepted"}
            resolved = graph.state_after([left, right])
            assert await current_state(m, graph.room_id) == resolved
            row = await m.db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", [graph.room_id])
            assert row is not None
            assert set(row[0]) == {left.event_id, right.event_id}
            ours = await m.send(graph.room_id, ALICE, "merged")
            assert await m.db.fetch_one("SELECT 1 FROM room_fork WHERE room_id = %s", [graph.room_id]) is None
            assert await state_before(m, graph.room_id, ours) == resolved

    run(play())


def test_who_was_banned_meanwhile_is_soft_failed(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            ban = graph.add(BOB, "m.room.member", {"membership": "ban"}, CAROL, prevs=[join])
            late = graph.send(CAROL, "I was never here", [join])
            after = graph.send(CAROL, "nor now", [ban])
            await receive_all(m, graph, [ban])
            assert (await receive_all(m, graph, [late]))[late.event_id] == "soft_failed"
            (refused,) = await receive(m, graph, after)
            assert (refused.status, "state before" in refused.reason or "auth events" in refused.reason) == (
                "rejected",
                True,
            )
            # Others may build on it; what they build is no longer hers.
            upon = graph.send(BOB, "upon", [ban, late])
            assert (await receive_all(m, graph, [upon]))[upon.event_id] == "accepted"
            shown = await m.db.fetch("SELECT event_id FROM timeline WHERE room_id = %s", [graph.room_id])
            assert {late.event_id, after.event_id}.isdisjoint({event_id for (event_id,) in shown})

    run(play())


def test_a_gap_before_what_nobody_is_shown_is_one_before_what_builds_on_it(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            ban = graph.add(BOB, "m.room.member", {"membership": "ban"}, CAROL, prevs=[join])
            unseen = graph.send(CAROL, "this never comes", [join])
            late = graph.send(CAROL, "nobody is shown this", [unseen])
            row = [late]
            for number in range(30):
                row.append(graph.send(CAROL, f"nor this {number}", row[-1:]))
            await receive_all(m, graph, [ban])
            verdicts = await receive(m, graph, late, state=list(late.before.values()))
            assert [one.status for one in verdicts] == ["soft_failed"]
            assert await m.db.fetch("SELECT FROM room_gap WHERE wanted = %s", [[unseen.event_id]]) == []
            upon = graph.send(BOB, "upon all", [ban, row[-1]])
            statuses = await receive_all(m, graph, [*row[1:], upon])
            assert statuses.pop(upon.event_id) == "accepted"
            assert set(statuses.values()) == {"soft_failed"}
            gap = await room_gaps.newest_gap(m.db, graph.room_id, (2**62, 0), (0, -(2**31)), 0)
            assert gap == room_gaps.Gap((await places(m, upon))[3], -1, [unseen.event_id])
            # Of before that was noted, a few in a row are looked at.
            await m.db.execute("UPDATE event_state SET absent = NULL")
            for aside, found in ((row[5], {unseen.event_id: None}), (row[-1], {})):
                assert await missing_from_timeline(m.db, graph.version, [aside.event_id]) == found

    run(play())


def test_what_is_followed_by_way_of_what_nobody_is_shown_is_not_among_the_newest(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            ban = graph.add(BOB, "m.room.member", {"membership": "ban"}, CAROL, prevs=[join])
            beside = graph.send(BOB, "beside", [join])
            await receive_all(m, graph, [ban, beside])
            refused = graph.send(CAROL, "may I?", [ban])
            again = graph.send(CAROL, "please", [refused])
            statuses = await receive_all(m, graph, [refused, again])
            assert set(statuses.values()) == {"rejected"}
            upon = graph.send(BOB, "upon it", [again])
            assert (await receive_all(m, graph, [upon]))[upon.event_id] == "accepted"
            row = await m.db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", [graph.room_id])
            assert row is not None
            assert row[0] == [beside.event_id, upon.event_id]
            assert await current_state(m, graph.room_id) == graph.state_after([beside, upon])
            both = graph.send(BOB, "both", [beside, again])
            assert (await receive_all(m, graph, [both]))[both.event_id] == "accepted"
            row = await m.db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", [graph.room_id])
            assert row is not None
            assert row[0] == [upon.event_id, both.event_id]

    run(play())


def test_what_the_policy_server_has_not_signed_is_soft_failed(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            key = SigningKey("policy_server", b"\x04" * 32)
            content = {"via": "else", "public_keys": {"ed25519": key.verify_key.to_base64()}}
            policy = graph.add(BOB, "m.room.policy", content, "", prevs=[join])
            unsigned = graph.send(BOB, "unseen by it", [policy])
            assert set((await receive_all(m, graph, [policy])).values()) == {"accepted"}
            assert (await receive_all(m, graph, [unsigned]))[unsigned.event_id] == "soft_failed"
            signed = graph.send(BOB, "approved", [policy])
            pdu = sign_event(signed.event.pdu, graph.version, "else", key)
            event = IncomingEvent(event_id=signed.event_id, pdu=canonical_json.encode(pdu))
            answer = await m.call(ReceiveEvents(room_id=graph.room_id, events=[event]))
            assert isinstance(answer, Received)
            assert answer.verdicts[0].status == "accepted", answer
            # Once its last user has left, the room uses it no more.
            leave = graph.add(CAROL, "m.room.member", {"membership": "leave"}, CAROL, prevs=[signed])
            pdu = sign_event(leave.event.pdu, graph.version, "else", key)
            event = IncomingEvent(event_id=leave.event_id, pdu=canonical_json.encode(pdu))
            await m.call(ReceiveEvents(room_id=graph.room_id, events=[event]))
            free = graph.send(BOB, "as one likes", [leave])
            assert (await receive_all(m, graph, [free]))[free.event_id] == "accepted"

    run(play())


def test_what_cannot_be_placed_is_named(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            unseen = graph.send(BOB, "unseen", [join])
            topic = graph.add(BOB, "m.room.topic", {"topic": "unseen too"}, "", prevs=[unseen])
            dave = graph.join("@dave:there", [topic])
            seen = graph.send("@dave:there", "seen", [dave])
            (verdict,) = await receive(m, graph, seen)
            assert verdict.status == "missing"
            assert verdict.missing_prev == [dave.event_id]
            assert verdict.missing_auth == [dave.event_id]
            await store(m, graph, [topic, dave])
            (verdict,) = await receive(m, graph, seen, state=list(seen.before.values()))
            assert verdict.status == "accepted", verdict
            assert await state_before(m, graph.room_id, seen.event_id) == seen.before
            gap = await room_forks.gap(m.db, graph.room_id, (await places(m, seen))[3])
            assert gap == (-1, [dave.event_id]), "what is here without state has no place in the timeline"
            assert await current_state(m, graph.room_id) == graph.state_after([join, seen])

    run(play())


def test_the_create_event_stays_as_it_is_when_it_comes_again(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room("10")
            await adopt(m, graph, join)
            create = next(iter(graph.nodes.values()))
            (verdict,) = await receive(m, graph, create)
            assert verdict.status == "known"
            hello = graph.send(BOB, "the room is alive", [join])
            assert (await receive_all(m, graph, [hello]))[hello.event_id] == "accepted"

    run(play())


def test_an_invite_from_outside_gives_no_right_before_what_allows_it_is_here(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            eve, dora = "@eve:there", "@dora:test"
            eve_joins = graph.join(eve, [join])
            invite = graph.add(eve, "m.room.member", {"membership": "invite"}, dora, prevs=[eve_joins])
            dora_joins = graph.join(dora, [invite])
            facts: Facts = {"room_id": graph.room_id, "room_version": "12", "user_id": dora}
            await m.call(SetOutOfBandMembership(membership="invite", event=pdu(invite), sender=eve, **facts))
            await adopt(m, graph, join)
            (verdict,) = await receive(m, graph, dora_joins)
            assert (verdict.status, set(verdict.missing_auth)) == ("missing", {invite.event_id})
            call = StoreEvents(room_id=graph.room_id, room_version="12", events=[pdu(invite)])
            answer = await m.call(call)
            assert isinstance(answer, StoredEvents)
            assert answer.missing == [eve_joins.event_id]
            await store(m, graph, [eve_joins, invite])
            (verdict,) = await receive(m, graph, dora_joins, state=list(dora_joins.before.values()))
            assert verdict.status == "accepted"

    run(play())


def test_a_branch_is_not_resolved_before_the_auth_events_of_its_newest_event_are_here(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            left = graph.add(BOB, "m.room.topic", {"topic": "left"}, "", prevs=[join])
            levels = graph.add(BOB, "m.room.power_levels", {"users": {CAROL: 100}}, "", prevs=[join])
            auth = [*levels.event.auth_event_ids, levels.event_id]
            auth.remove(levels.before["m.room.power_levels", ""])
            auth.remove(levels.before["m.room.member", BOB])
            auth.append(levels.before["m.room.member", CAROL])
            right = graph.add(CAROL, "m.room.topic", {"topic": "right"}, "", prevs=[join], auth=auth)
            await receive_all(m, graph, [left])
            (verdict,) = await receive(m, graph, right)
            assert (verdict.status, verdict.missing_auth) == ("missing", [levels.event_id])

    run(play())


def test_invites_from_outside_come_and_go(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            dora = "@dora:test"
            invite = graph.add(BOB, "m.room.member", {"membership": "invite"}, dora, prevs=[join])
            kick = graph.add(BOB, "m.room.member", {"membership": "leave"}, dora, prevs=[invite])
            facts: Facts = {"room_id": graph.room_id, "room_version": "12", "user_id": dora}
            change = SetOutOfBandMembership(membership="invite", event=pdu(invite), sender=BOB, **facts)
            await m.call(change)
            await m.call(change)
            rows = await room_forks.local_memberships(m.db, graph.room_id)
            assert [tuple(row[:2]) for row in rows] == [(dora, "invite")]
            await m.call(SetOutOfBandMembership(membership="leave", event=pdu(kick), sender=BOB, **facts))
            with pytest.raises(MatrixError, match="no invite"):
                await m.call(SetOutOfBandMembership(membership="leave", event=None, sender=dora, **facts))
            await adopt(m, graph, join)
            with pytest.raises(MatrixError) as refused:
                await m.call(change)
            assert refused.value.errcode == "M_BAD_STATE"

    run(play())


def test_templates_are_what_the_room_allows(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room_id = await m.create_room(ALICE)
            answer = await m.call(ComposeTemplate(room_id=room_id, user_id=BOB, membership="join"))
            assert isinstance(answer, Template)
            assert b"hashes" not in answer.pdu
            with pytest.raises(MatrixError, match="may not"):
                await m.call(ComposeTemplate(room_id=room_id, user_id=BOB, membership="knock"))

    run(play())


def test_history_fills_its_gap(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, _ = new_room()
            newest = list(graph.nodes.values())[-2]
            said = []
            for number in range(6):
                newest = graph.send(BOB, f"old {number}", [newest])
                said.append(newest)
            join = graph.join("@dora:test", [newest])
            await adopt(m, graph, join)
            before_pos = (await places(m, join))[3]
            page, rest = said[3:][::-1], said[:3][::-1]
            wanted = list(page[-1].event.prev_event_ids)
            facts: Facts = {"room_id": graph.room_id, "before_pos": before_pos, "state": list(page[-1].before.values())}
            first = InsertHistory(next_sub=-1, events=[pdu(node) for node in page], wanted=wanted, **facts)
            answer = await m.call(first)
            assert isinstance(answer, HistoryInserted)
            assert answer.inserted == 3
            with pytest.raises(MatrixError, match="meanwhile"):
                await m.call(first)
            last = InsertHistory(next_sub=-4, events=[pdu(node) for node in rest], wanted=[], is_end=True, **facts)
            await m.call(last)
            rows = await m.db.fetch(
                "SELECT event_id FROM timeline WHERE room_id = %s ORDER BY order_pos, order_sub", [graph.room_id]
            )
            assert [event_id for (event_id,) in rows] == [*(node.event_id for node in said), join.event_id]
            assert await room_forks.gap(m.db, graph.room_id, before_pos) is None

    run(play())


def test_after_years_away_the_state_is_taken_anew(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            graph, join = new_room()
            await adopt(m, graph, join)
            leave = graph.add(ALICE, "m.room.member", {"membership": "leave"}, ALICE, prevs=[join])
            await receive_all(m, graph, [leave])
            newest = graph.add(BOB, "m.room.topic", {"topic": "unseen"}, "", prevs=[leave])
            newest = graph.add(CAROL, "m.room.member", {"membership": "leave"}, CAROL, prevs=[newest])
            again = graph.join(ALICE, [newest])
            await adopt(m, graph, again)
            assert await current_state(m, graph.room_id) == again.after
            assert await state_before(m, graph.room_id, again.event_id) == again.before
            assert set(await room_forks.servers(m.db, graph.room_id)) == {"test", "there"}
            hello = graph.send(BOB, "welcome back", [again])
            assert (await receive_all(m, graph, [hello]))[hello.event_id] == "accepted"

    run(play())


@pytest.mark.parametrize("seed", range(8))
def test_any_graph_ends_with_the_state_that_the_core_resolves(database_url: str, seed: int) -> None:
    """Random branches of three servers: bans, power levels, joins."""

    async def play() -> None:
        random = Random(seed)
        async with master(database_url) as m:
            graph, join = new_room("12" if seed % 2 else "10")
            await adopt(m, graph, join)
            nodes = [join]
            for number in range(30):
                nodes.append(random_event(graph, random, nodes, number))
            pending = nodes[1:]
            while pending:
                size = random.randint(1, 4)
                statuses = await receive_all(m, graph, pending[:size])
                pending = pending[size:]
                assert "missing" not in statuses.values()
            await compare(m, graph, nodes)

    run(play())


def random_event(graph: Graph, random: Random, nodes: Sequence[Node], number: int) -> Node:
    prevs = random.sample(nodes[-6:], random.choice((1, 1, 1, min(2, len(nodes)))))
    sender = random.choice((BOB, BOB, CAROL, "@dave:else"))
    kind = random.randrange(7)
    if kind == 0:
        return graph.add(sender, "m.room.topic", {"topic": str(number)}, "", prevs=prevs)
    if kind == 1:
        target = random.choice((CAROL, "@dave:else", "@erin:there"))
        membership = random.choice(("ban", "leave", "invite"))
        return graph.add(sender, "m.room.member", {"membership": membership}, target, prevs=prevs)
    if kind == 2:
        return graph.join(sender, prevs)
    if kind == 3:
        users = {CAROL: random.choice((0, 50, 100))} | ({} if graph.version.identifier == "12" else {BOB: 100})
        return graph.add(sender, "m.room.power_levels", {"users": users}, "", prevs=prevs)
    if kind == 4:
        rule = random.choice(("public", "invite"))
        return graph.add(sender, "m.room.join_rules", {"join_rule": rule}, "", prevs=prevs)
    return graph.send(sender, str(number), prevs)


async def compare(m: TestMaster, graph: Graph, nodes: Sequence[Node]) -> None:
    statuses = await room_forks.standings(m.db, [node.event_id for node in nodes])
    for node in nodes[1:]:
        assert (statuses[node.event_id] == room_forks.REJECTED) == (node.reason is not None), node.event.type
        assert await state_before(m, graph.room_id, node.event_id) == node.before, node.event.type
    row = await m.db.fetch_one("SELECT event_ids FROM room_fork WHERE room_id = %s", [graph.room_id])
    if row is None:
        (newest,) = await m.db.fetch(
            "SELECT event_id FROM timeline WHERE room_id = %s ORDER BY order_pos DESC LIMIT 1", [graph.room_id]
        )
        row = ([newest[0]],)
    assert await current_state(m, graph.room_id) == graph.state_after([graph.nodes[one] for one in row[0]])
