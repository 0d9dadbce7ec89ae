"""What is kept of a room's settings is never what was read before the log told of a change."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from hs_common.federation.policy_servers import PolicyServers, Unreachable
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
