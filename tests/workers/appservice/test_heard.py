"""What was heard of a service's events is what the table holds, or nothing."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import orjson

from hs_common.replication import items
from hs_common.replication.entry import Entry, decode_body
from hs_common.replication.federation_calls import Pdu, SetOutOfBandMembership
from hs_common.replication.items import EventItem, LocalMembership, MembershipItem
from hs_common.storage import service_queue
from hs_workers.appservice import heard as heard_
from hs_workers.appservice.heard import Heard, tell
from tests.master.harness import TestMaster, master
from tests.master.services import set_service
from tests.master.test_receiving import adopt, new_room, receive_all
from tests.master.test_waiting_redactions import rested
from tests.reactor import run, until
from tests.workers.appservice.world import ALICE, GHOST, world

LIMIT = 10_000


def event(number: int, size: int = 10, **changes: Any) -> EventItem:
    facts: dict[str, Any] = {
        **dict.fromkeys(EventItem.__struct_fields__),
        **{"event_id": f"$e{number}", "room_id": "!r", "room_version": "12", "json": b"x" * size},
        **{"redacted": [], "servers_joined": [], "services": ["irc"], "introduced": False},
    }
    return EventItem(**{**facts, **changes})


def positions(heard: Heard, after: int) -> list[int] | None:
    rows = heard.after(after, LIMIT)
    return None if rows is None else [row[0] for row in rows]


def test_what_came_before_is_not_known_and_what_was_sent_is_wanted_no_more() -> None:
    heard = Heard(5)
    assert positions(heard, 4) is None
    assert positions(heard, 5) == []
    for number in (6, 7, 9):
        assert tell({"irc": heard}, event(number), number) == ["irc"]
    assert positions(heard, 5) == [6, 7, 9]
    assert heard.after(5, 2) == heard.after(5, LIMIT)[:2]  # type: ignore[index]
    assert positions(heard, 8) == [9]
    assert positions(heard, 6) is None


def test_other_services_events_are_not_held() -> None:
    irc, other = Heard(0), Heard(0)
    tell({"irc": irc, "other": other}, event(1), 1)
    tell({"irc": irc}, event(2, services=["other"]), 2)
    assert (positions(irc, 0), positions(other, 0)) == ([1], [])


def test_what_may_be_told_otherwise_in_the_table_is_read_there() -> None:
    outside = MembershipItem("!r", LocalMembership(GHOST, "invite", "$i", "@far:away", None, True))
    for gap in (event(3, servers_joined=["test"], services=[]), event(3, redacted=["$e2"]), outside):
        heard = Heard(0)
        tell({"irc": heard}, event(2), 2)
        assert "irc" in tell({"irc": heard}, gap, 3)
        tell({"irc": heard}, event(4), 4)
        assert positions(heard, 2) is None
        assert positions(heard, 3) == [4]
    heard = Heard(0)
    tell({"irc": heard}, event(2), 2)
    tell({"irc": heard}, event(3, redacted=["$of old"]), 3)
    assert positions(heard, 0) == [2, 3]


def test_the_newest_stay_when_there_are_too_many_or_they_are_too_large() -> None:
    heard = Heard(0)
    for number in range(1, heard_.ROWS_LIMIT + 3):
        tell({"irc": heard}, event(number), number)
    assert positions(heard, 1) is None
    assert positions(heard, 2) == list(range(3, heard_.ROWS_LIMIT + 3))
    heard = Heard(0)
    for number in range(1, 4):
        tell({"irc": heard}, event(number, size=heard_.BYTES_LIMIT // 2), number)
    assert positions(heard, 0) is None
    assert positions(heard, 1) == [2, 3]


class Shadow:
    """Hears what a worker would, and looks after each entry whether the table holds the same."""

    def __init__(self) -> None:
        self.heard = {"irc": Heard(0)}
        self.known = 0

    def hear(self, entry: Entry) -> None:
        for one in decode_body(entry).items:
            item = items.decode(one.kind, one.body)
            if isinstance(item, EventItem | MembershipItem):
                tell(self.heard, item, one.pos)

    async def compare(self, m: TestMaster, after: int) -> None:
        rows = self.heard["irc"].after(after, LIMIT)
        if rows is not None:
            assert rows == await service_queue.events(m.db, "irc", after, None, LIMIT)
            self.known += len(rows)


def test_what_is_heard_is_what_the_table_holds(database_url: str) -> None:
    async def play() -> None:
        shadow = Shadow()
        async with master(database_url, shadow.hear) as m:
            random = Random(11)
            await m.call(set_service())
            rooms = [await m.create_room(ALICE), await m.create_room(ALICE, version="10")]
            sent: list[tuple[str, str]] = []

            async def send(room: str) -> None:
                sent.append((room, await m.send(room, ALICE, f"message {len(sent)} ä")))

            async def redact(room: str) -> None:
                mine = [event_id for where, event_id in sent if where == room]
                if mine:
                    await m.event(room, ALICE, "m.room.redaction", {}, redacts=random.choice(mine[-4:]))

            async def rename(room: str) -> None:
                await m.event(room, ALICE, "m.room.name", {"name": f"room {len(sent)}"}, state_key="")

            async def invite(room: str) -> None:
                await m.member(room, ALICE, "leave", GHOST)
                await m.member(room, ALICE, "invite", GHOST)
                await m.member(room, GHOST, "join", displayname=f"ghost {len(sent)}")

            acts: list[Callable[[str], Awaitable[None]]] = [send, send, send, redact, rename, invite]
            for room in rooms:
                await m.member(room, GHOST, "join")
            after = 0
            for _ in range(60):
                await random.choice(acts)(random.choice(rooms))
                await shadow.compare(m, after)
                if random.random() < 0.2:
                    after = m.entries[-1].pos
            assert shadow.known > 60

    run(play(), timeout=60)


def test_events_of_other_servers_are_the_same_too_a_redaction_that_came_before_among_them(database_url: str) -> None:
    async def play() -> None:
        shadow = Shadow()
        async with master(database_url, shadow.hear) as m:
            graph, join = new_room()
            room_of_services = {"users": [], "aliases": [], "rooms": [{"regex": "!.*", "exclusive": False}]}
            await m.call(set_service(namespaces=room_of_services))
            await adopt(m, graph, join)
            assert shadow.heard["irc"].after(0, LIMIT) is None  # the join is in the table, and is not told
            after = m.entries[-1].pos
            first = graph.send("@bob:there", "first", [join])
            secret = graph.send("@bob:there", "secret", [first])
            redaction = graph.add("@bob:there", "m.room.redaction", {"redacts": secret.event_id}, prevs=[first])
            for one in (first, redaction, secret):
                await receive_all(m, graph, [one])
            await rested(m)  # shows the redaction
            await shadow.compare(m, after)
            assert shadow.known == 3

    run(play())


def test_an_invite_from_outside_reaches_its_service_at_once(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.register()
            room = await w.bridged_room()
            await until(lambda: w.service.event_ids)
            facts = {"type": "m.room.member", "state_key": GHOST, "sender": "@far:away", "room_id": "!elsewhere:away"}
            invite = {**facts, "content": {"membership": "invite"}, "origin_server_ts": 1}
            invite |= {"depth": 1, "auth_events": [], "prev_events": []}
            await w.master.call(
                SetOutOfBandMembership(
                    room_id="!elsewhere:away",
                    room_version="10",
                    user_id=GHOST,
                    membership="invite",
                    sender="@far:away",
                    event=Pdu(event_id="$invite", pdu=orjson.dumps(invite)),
                    stripped_state=b"[]",
                )
            )
            sent = await w.send(room, 2)
            await until(lambda: w.service.event_ids[1:] == ["$invite", *sent])

    run(play())
