"""The reading of one timeline, and the planning of windows, by themselves."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.filters import EVERYTHING, parse_filter
from hs_workers.sync.timeline import (
    MAXIMUM_EVENTS,
    MAXIMUM_SCANNED,
    MAXIMUM_SCANNED_TOGETHER,
    Scan,
    Timeline,
    TimelineEvent,
    TimelineRow,
    shares,
)
from hs_workers.sync.windows import STILL_SO, Membership, Window, plan

ROOM = "!r"


def event(pos: int, sub: int = 0) -> TimelineEvent:
    row = TimelineRow(ROOM, pos, sub, f"${pos}.{sub}", "@a:b", "t", None, 0, None, 0, None, None, None, None, None)
    return TimelineEvent(row, "{}")


def read(positions: list[int], since: int, upto: int, limit: int, wanted: set[int], batch: int = 7) -> Timeline:
    """A scan over live events, batch by batch."""
    scan = Scan(Window(ROOM, since, since, upto), limit)
    while not scan.done:
        below = [pos for pos in sorted(positions, reverse=True) if scan.low < pos <= scan.high][:batch]
        scan.take([event(pos) for pos in below], batch, lambda one: one.row.order_pos in wanted)
    return scan.result()


@given(
    positions=st.lists(st.integers(1, 60), unique=True),
    wanted=st.sets(st.integers(1, 60)),
    since=st.integers(0, 30),
    length=st.integers(0, 30),
    limit=st.integers(1, 10),
)
def test_a_timeline_is_the_newest_of_what_is_wanted(
    positions: list[int], wanted: set[int], since: int, length: int, limit: int
) -> None:
    upto = since + length
    told = read(positions, since, upto, limit, wanted)
    inside = [pos for pos in sorted(positions) if since < pos <= upto]
    expected = [pos for pos in inside if pos in wanted][-limit:]
    assert [one.row.order_pos for one in told.events] == expected
    left_out = [pos for pos in inside if not expected or pos < expected[0]]
    assert told.limited == bool(set(left_out) & wanted)
    if expected:
        assert (told.start, told.prev_batch) == (expected[0] - 1, f"t{expected[0]}_-1")


def test_with_a_limit_of_nothing_the_history_begins_where_the_window_ends() -> None:
    """A client pages back from there to what it was not told."""
    cut = read([1, 2, 3], 0, 3, 0, {1, 2, 3})
    assert (cut.events, cut.limited, cut.prev_batch) == ([], True, "t4_-1")
    nothing_new = read([1, 2], 2, 3, 0, {1, 2})
    assert (nothing_new.events, nothing_new.limited, nothing_new.prev_batch) == ([], False, "t2_0")


def test_a_scan_ends_somewhere() -> None:
    positions = list(range(1, MAXIMUM_SCANNED + 100))
    told = read(positions, 0, positions[-1], 5, {1}, batch=100)
    assert (told.events, told.limited, told.prev_batch) == ([], True, "t100_-1")


def test_history_ends_a_timeline() -> None:
    scan = Scan(Window(ROOM, 0, 0, 9), 5)
    scan.take([event(9), event(9, -1), event(8)], 6, lambda one: True)
    told = scan.result()
    assert ([one.row.order_pos for one in told.events], told.limited, told.prev_batch) == ([9], True, "t9_-1")


def membership(kind: str, from_pos: int, to_pos: int = STILL_SO) -> Membership:
    return Membership(ROOM, kind, f"${from_pos}", "@x:y", None, False, False, from_pos, to_pos)


def test_windows_by_what_happened() -> None:
    room_filter = EVERYTHING.room
    join = [membership("join", 10)]
    assert plan(join, None, 20, room_filter).windows[0].fresh
    assert plan(join, 5, 20, room_filter).windows[0].fresh
    assert plan(join, 15, 20, room_filter).windows[0].since == 15
    assert plan(join, 15, 20, room_filter, full_state=True).windows[0].state_since == 0
    left = [membership("join", 10, 18), membership("leave", 18)]
    (window,) = plan(left, 15, 20, room_filter).windows
    assert (window.is_left, window.since, window.upto, window.parting, window.was_joined) == (True, 15, 18, "$18", True)
    assert plan([membership("leave", 18)], 19, 20, room_filter).windows == []
    assert plan(left, None, 20, room_filter).windows == []
    archived = parse_filter({"room": {"include_leave": True}}).room
    assert plan(left, None, 20, archived).windows[0].fresh
    assert plan([membership("leave", 18)], 19, 20, archived).windows == []
    refused = [membership("invite", 10, 18), membership("leave", 18)]
    assert plan(refused, 15, 20, room_filter).windows[0].was_joined is False
    removed = [membership("join", 10, 18)]
    (window,) = plan(removed, 15, 20, room_filter).windows
    assert (window.is_left, window.parting, window.upto) == (True, None, 18)


@given(limit=st.integers(0, 500), rooms=st.integers(0, 100_000))
def test_many_rooms_share_what_an_answer_may_hold(limit: int, rooms: int) -> None:
    share = shares(limit, rooms)
    assert share.limit * rooms <= max(MAXIMUM_EVENTS, rooms)
    assert share.scanned * rooms <= max(MAXIMUM_SCANNED_TOGETHER, rooms)
    if limit * rooms <= MAXIMUM_EVENTS:
        assert share.limit == limit
    assert limit == 0 or share.limit > 0
    assert 0 < share.scanned <= MAXIMUM_SCANNED
