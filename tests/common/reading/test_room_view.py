"""A reader's view of a room: it agrees with the plain reading of the rules, on forks too."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.history_visibility import Point as PointInTime
from hs_common.matrix.history_visibility import Row, joined_after, user_may_see, value_at
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.room_view import Reader, RoomView, ignored_users
from hs_common.reading.stored_event import StoredEvent

BOB = Reader("@bob:test", "D")
VERSION = ROOM_VERSIONS["12"]
STILL_SO = 2**63 - 1
LAST = 40


def stored(
    order_pos: int,
    state_pos: int,
    event_type: str = "m.room.message",
    state_key: str | None = None,
    content: dict[str, object] | None = None,
    delta_id: int | None = None,
    sender: str = "@alice:test",
) -> StoredEvent:
    pdu = {
        "room_id": "!r:test",
        "sender": sender,
        "type": event_type,
        "content": content or {},
        "depth": 1,
        "origin_server_ts": 1,
        "prev_events": [],
        "auth_events": [],
    }
    json = orjson.dumps(pdu if state_key is None else {**pdu, "state_key": state_key}).decode()
    place = ("!r:test", order_pos, 0, f"${order_pos}", sender, event_type, state_key, 1)
    return StoredEvent(VERSION, (*place, None, state_pos, delta_id, None, None, None, None, json))


def history(values: list[str], parity: int) -> st.SearchStrategy[list[Row]]:
    """Values that hold one after the other, with holes. One event changes one thing, so the two histories change at
    even and at odd positions."""
    halves = st.integers(1, LAST // 2 - 1)
    positions = st.lists(halves, unique=True, max_size=6).map(lambda drawn: sorted(2 * half + parity for half in drawn))

    def rows(drawn: tuple[list[int], list[str | None]]) -> list[Row]:
        starts, chosen = drawn
        ends = [*starts[1:], STILL_SO]
        return [
            (start, end, value) for start, end, value in zip(starts, ends, chosen, strict=False) if value is not None
        ]

    chosen = st.lists(st.sampled_from([*values, None]), min_size=6, max_size=6)
    return st.tuples(positions, chosen).map(rows)


MEMBERSHIPS = history(["join", "leave", "invite", "ban"], 0)
VISIBILITIES = history(["joined", "invited", "shared", "world_readable", "nonsense"], 1)


def view_of(memberships: list[Row], visibilities: list[Row], **more: object) -> RoomView:
    return RoomView("!r:test", VERSION, BOB, LAST, memberships, visibilities, **more)  # type: ignore[arg-type]


@given(memberships=MEMBERSHIPS, visibilities=VISIBILITIES)
def test_every_visible_event_lies_within_the_visible_positions(memberships: list[Row], visibilities: list[Row]) -> None:
    view = view_of(memberships, visibilities)
    first, last = view.visible_positions
    for pos in range(LAST):
        point = PointInTime(value_at(visibilities, pos), value_at(memberships, pos))
        later = joined_after(memberships, pos)
        expected = user_may_see("m.room.message", None, {}, BOB.user_id, point, later)
        event = stored(pos + 1, pos)
        assert view.may_see(event) is expected
        assert not expected or first <= event.order_pos <= last
        assert view.membership_at(event) == (point.membership or "leave")
    # What changes the reader's membership or the visibility is told on both sides of the change.
    for pos, _, value in memberships:
        event = stored(pos, pos - 1, "m.room.member", BOB.user_id, {"membership": value})
        assert not view.may_see(event) or first <= pos <= last
        assert view.membership_at(event) == value
    for pos, _, value in visibilities:
        event = stored(pos, pos - 1, "m.room.history_visibility", "", {"history_visibility": value})
        assert not view.may_see(event) or first <= pos <= last


def test_an_event_on_a_fork_is_judged_by_its_own_state() -> None:
    view = view_of([(5, STILL_SO, "join")], [(1, STILL_SO, "joined")])
    fork, elsewhere = stored(3, 2, delta_id=1), stored(8, 7, delta_id=2)
    assert view.unknown_deltas([fork, elsewhere, stored(9, 7)]) == {1, 2}
    view.learn({1: {"m.room.history_visibility": {"history_visibility": "world_readable"}}, 2: {"m.room.member": None}})
    assert view.unknown_deltas([fork, elsewhere]) == set()
    assert view.may_see(fork)
    assert not view.may_see(elsewhere)
    assert view.membership_at(elsewhere) == "leave"
    assert not view.may_see(stored(3, 2))
    assert view.may_see(stored(8, 7))


def test_what_is_newer_than_the_view_does_not_exist() -> None:
    view = view_of([(1, STILL_SO, "join")], [])
    assert view.may_see(stored(LAST, 1))
    assert not view.may_see(stored(LAST + 1, 1))


def test_ignored_users_are_heard_by_their_state_only() -> None:
    ignored = ignored_users({"ignored_users": {"@alice:test": {}, BOB.user_id: {}}})
    view = view_of([(1, STILL_SO, "join")], [], ignored=ignored)
    assert not view.shows(stored(2, 1))
    assert view.shows(stored(2, 1, "m.room.topic", ""))
    assert view.shows(stored(2, 1, sender=BOB.user_id))
    assert ignored_users({"ignored_users": []}) == frozenset()


def test_the_state_that_may_be_read_is_now_or_that_of_leaving() -> None:
    was_in = [(3, 9, "join"), (9, STILL_SO, "leave")]
    assert view_of([(3, STILL_SO, "join")], [], membership="join").state_pos == LAST
    assert view_of(was_in, [], membership="leave").state_pos == 9
    assert view_of(was_in, [], membership="leave", forgotten=True).state_pos is None
    assert view_of(was_in, [(1, STILL_SO, "world_readable")], membership="leave").state_pos == LAST
    assert view_of([(3, STILL_SO, "invite")], [], membership="invite").state_pos is None
    assert not view_of([(3, STILL_SO, "invite")], [], membership="invite").is_readable
    assert not view_of(was_in, [], membership="leave", forgotten=True).is_readable
