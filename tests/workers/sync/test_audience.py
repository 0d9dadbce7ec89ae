"""Who is concerned by what, also while his rooms are being read."""

import pytest
from twisted.internet.defer import Deferred

from hs_common.replication import items
from hs_common.storage.queries import Arguments, DatabaseUnavailable, Row
from hs_workers.sync.audience import Audience, TrackedUser
from tests.reactor import run

ROOM, OTHER, BOB = "!r:x", "!o:x", "@bob:x"


class SlowQueries:
    """A database that answers when told."""

    def __init__(self) -> None:
        self.asked: list[Deferred[list[Row]]] = []

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        answer: Deferred[list[Row]] = Deferred()
        self.asked.append(answer)
        return await answer

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        raise AssertionError(sql)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError(sql)


def membership(room_id: str, value: str) -> items.MembershipItem:
    return items.MembershipItem(room_id, items.LocalMembership(BOB, value, "$e", BOB))


def receipt(room_id: str, kind: str = "m.read") -> items.ReceiptItem:
    return items.ReceiptItem(room_id, "@alice:x", kind, "", "$e", 0, 1, 0)


def tracking(audience: Audience, user_id: str = BOB) -> "Deferred[TrackedUser]":
    return Deferred.fromCoroutine(audience.track(user_id))


def tracked(deferred: "Deferred[TrackedUser]") -> TrackedUser:
    """What it has come to."""
    user = deferred.result
    assert isinstance(user, TrackedUser)
    return user


def test_what_happens_while_rooms_are_read_is_not_missed() -> None:
    db = SlowQueries()
    audience = Audience(db, lambda: 5)
    both = [tracking(audience), tracking(audience)]
    assert len(db.asked) == 1
    audience.apply(6, membership(OTHER, "join"))
    audience.apply(7, membership(ROOM, "leave"))
    audience.apply(8, receipt("!anything:x"))
    db.asked[0].callback([(ROOM,), ("!s:x",)])
    for one in both:
        user = tracked(one)
        assert user.rooms == {OTHER, "!s:x"}
        assert (user.news, user.membership_at) == (3, 7)
    news: list[TrackedUser] = []
    audience.on_news = news.append
    audience.apply(9, receipt(ROOM))
    audience.apply(9, receipt(OTHER, "m.read.private"))
    assert news == []
    audience.apply(9, receipt(OTHER))
    assert news == [audience.get(BOB)]


def test_if_reading_fails_the_next_reads_anew() -> None:
    db = SlowQueries()
    audience = Audience(db, lambda: 5)
    first, second = tracking(audience), tracking(audience)
    db.asked[0].errback(DatabaseUnavailable("08006", "away"))
    with pytest.raises(DatabaseUnavailable):
        run(_result(first))
    db.asked[1].callback([(ROOM,)])
    assert tracked(second).rooms == {ROOM}
    assert list(audience.in_room(ROOM)) == [BOB]


def test_who_is_tracked_when_the_log_begins_anew_is_read_again() -> None:
    db = SlowQueries()
    audience = Audience(db, lambda: 5)
    waiting = tracking(audience)
    audience.forget()
    db.asked[0].callback([(ROOM,)])
    assert not waiting.called
    db.asked[1].callback([(OTHER,)])
    assert tracked(waiting).rooms == {OTHER}
    assert list(audience.in_room(ROOM)) == []


def test_leaving_a_room_ends_its_news() -> None:
    db = SlowQueries()
    audience = Audience(db, lambda: 5)
    leaving = tracking(audience)
    db.asked[0].callback([(ROOM,)])
    assert tracked(leaving).rooms == {ROOM}
    audience.apply(6, membership(ROOM, "leave"))
    assert list(audience.in_room(ROOM)) == []


async def _result(deferred: "Deferred[TrackedUser]") -> TrackedUser:
    return await deferred
