"""The publisher's memory stays within its limits."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.entry import Entry
from hs_common.replication.names import (
    BODY_LIMIT,
    LOG_KEPT_BYTES,
    LOG_KEPT_SECONDS,
    QUEUE_BYTES,
    QUEUE_ENTRIES,
)
from hs_common.replication.publish_queue import PublishQueue, TrimPlan


def entry(pos: int, size: int = 0) -> Entry:
    return Entry(3, pos, pos - 1, 1, b"x" * size)


@given(st.lists(st.sampled_from(["add", "add", "add", "take", "answer", "lose"]), max_size=60))
def test_entries_leave_in_order_and_the_account_is_right(steps: list[str]) -> None:
    queue, expected, flying, pos = PublishQueue(), list[int](), 0, 0
    for step in steps:
        if step == "add":
            pos += 1
            queue.add(entry(pos, 10))
            expected.append(pos)
        elif step == "take":
            assert [taken.pos for taken in queue.take()] == expected
            flying += len(expected)
            expected = []
        elif step == "answer":
            queue.answered()
            flying = max(0, flying - 1)
        else:
            queue.lost()
            flying = 0
        assert len(queue) == len(expected) + flying
    queue.take()
    queue.lost()
    for number in range(QUEUE_ENTRIES):  # nothing of the account is left over
        queue.add(entry(number + 1))
    assert queue.overflows == 0


def test_too_many_entries_empty_the_queue() -> None:
    queue = PublishQueue()
    for pos in range(1, QUEUE_ENTRIES + 2):
        queue.add(entry(pos))
    assert queue.overflows == 1
    assert [kept.pos for kept in queue.take()] == [QUEUE_ENTRIES + 1]


def test_too_many_bytes_empty_the_queue() -> None:
    queue = PublishQueue()
    for pos in range(1, QUEUE_BYTES // BODY_LIMIT + 2):
        queue.add(entry(pos, BODY_LIMIT))
    assert queue.overflows == 1
    assert len(queue) == 1


def test_nothing_is_added_while_all_is_on_its_way() -> None:
    queue = PublishQueue()
    for pos in range(1, QUEUE_ENTRIES + 1):
        queue.add(entry(pos))
    queue.take()
    queue.add(entry(QUEUE_ENTRIES + 1))
    assert (len(queue), queue.take(), queue.overflows) == (QUEUE_ENTRIES, [], 1)


def test_old_entries_are_trimmed_once() -> None:
    plan = TrimPlan(3, now=0)
    plan.written(entry(1), 10)
    plan.written(entry(2), 20)
    assert plan.oldest_id(LOG_KEPT_SECONDS) is None
    assert plan.oldest_id(LOG_KEPT_SECONDS + 15) == b"3-2"
    assert plan.oldest_id(LOG_KEPT_SECONDS + 16) is None
    assert plan.oldest_id(LOG_KEPT_SECONDS + 25) == b"3-3"


def test_large_logs_are_trimmed_before_their_time() -> None:
    plan = TrimPlan(3, now=0)
    count = LOG_KEPT_BYTES // BODY_LIMIT + 2
    for pos in range(1, count + 1):
        plan.written(entry(pos, BODY_LIMIT), 0)
    assert plan.oldest_id(1) == b"3-3"


def test_earlier_epochs_are_trimmed_though_nobody_writes() -> None:
    plan = TrimPlan(3, now=0)
    assert plan.oldest_id(LOG_KEPT_SECONDS) is None
    assert plan.oldest_id(LOG_KEPT_SECONDS + 1) == b"3-0"
    assert plan.oldest_id(LOG_KEPT_SECONDS + 2) is None
