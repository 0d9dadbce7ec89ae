"""What is kept of a room's settings is never what was read before the log told of a change."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from hs_common.federation.policy_servers import KEPT_WITHOUT_S, PolicyServers, Unreachable
from hs_common.replication import items
from hs_common.replication.entry import Entry, decode_body, encode_body
from hs_common.replication.names import FORMAT
from hs_common.replication.subscription import hand_out
from hs_common.storage.queries import Arguments, Row
from hs_workers.federation_inbound.room_admission import RoomAdmission
from tests.reactor import run

ROOM = "!r:example.org"


class _SlowReads:
    """`Queries` whose reads end when they are let."""

    def __init__(self) -> None:
        self.reads: list[Deferred[list[Row]]] = []

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        self.reads.append(Deferred())
        return await self.reads[-1]

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        rows = await self.fetch(sql, args)
        return rows[0] if rows else None

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError("nothing is written here")


def _asking_policy(db: _SlowReads) -> tuple[Callable[[], Any], Any]:
    policies = PolicyServers(db, Unreachable(), lambda: 0.0)
    return lambda: policies.of_room(ROOM), policies


def _asking_admission(db: _SlowReads) -> tuple[Callable[[], Any], Any]:
    admission = RoomAdmission(db, "example.org", lambda: 0.0)
    return lambda: admission.standings([ROOM], "far.example"), admission


NOTHING: dict[Any, list[Row]] = {_asking_policy: [], _asking_admission: [(ROOM, "11", True, None, None)]}


@pytest.mark.parametrize("make", [_asking_policy, _asking_admission])
@pytest.mark.parametrize("all_rooms", [False, True])
def test_a_read_that_a_change_overtook_is_not_kept(make: Any, all_rooms: bool) -> None:
    async def scenario() -> None:
        db = _SlowReads()
        ask, kept = make(db)
        first = Deferred.fromCoroutine(ask())
        if all_rooms:
            kept._forget_all()
        else:
            kept.forget(ROOM)
        db.reads[0].callback(NOTHING[make])
        await first
        second = Deferred.fromCoroutine(ask())
        assert len(db.reads) == 2, "what was read before the change is believed"
        db.reads[1].callback(NOTHING[make])
        await second
        await ask()
        assert len(db.reads) == 2, "what is read after it is kept"

    run(scenario())


def test_that_a_room_names_no_policy_server_is_believed_until_the_log_tells_of_one() -> None:
    async def scenario() -> None:
        db, now_s = _SlowReads(), 0.0
        policies = PolicyServers(db, Unreachable(), lambda: now_s)
        subscription = policies.subscription()

        async def reads() -> int:
            asked = Deferred.fromCoroutine(policies.of_room(ROOM))
            before = len(db.reads)
            if before and not db.reads[-1].called:
                db.reads[-1].callback([])
            assert await asked is None
            return before

        def tell(event_type: str, changes: list[items.StateChange]) -> None:
            item = _event(event_type, changes)
            entry = Entry(1, 1, 0, FORMAT, encode_body(0, [(1, items.KIND_OF[type(item)], items.encode(item))]))
            hand_out([subscription], entry, decode_body(entry))

        assert await reads() == 1
        now_s = KEPT_WITHOUT_S - 1
        tell("m.room.message", [])
        assert await reads() == 1
        tell("m.room.policy", [])
        assert await reads() == 2
        tell("m.room.message", [items.StateChange("m.room.policy", "", None, "$a")])
        assert await reads() == 3, "forks that meet may bring one"
        now_s += KEPT_WITHOUT_S
        assert await reads() == 4

    run(scenario())


def _event(event_type: str, changes: list[items.StateChange]) -> items.EventItem:
    return items.EventItem(
        room_id=ROOM,
        event_id="$e",
        room_version="11",
        json=b"{}",
        sender="@a:b",
        type=event_type,
        state_key=None,
        order_pos=1,
        order_sub=0,
        origin_server_ts=0,
        state_pos=0,
        replaces_state=None,
        thread_root=None,
        rule_bits=0,
        mentions=[],
        changes=changes,
        memberships=[],
        servers_joined=[],
        servers_left=[],
        redacted=[],
        relation=None,
        device_id=None,
        txn_id=None,
    )
