"""Turns are shared by measured time: 6 : 3 : 1 between lanes, evenly between origins, whoever floods."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.calls import SetTyping
from hs_master.pipeline.costs import FIRST_GUESS_US, LEAST_US, Costs
from hs_master.pipeline.lanes import WEIGHTS, Lanes
from hs_master.pipeline.pending import CallQueue


def spent_by(queues: list[CallQueue], costs_us: dict[str, float], turns: int) -> Counter[str]:
    """µs that each queue gets when all have something to do all the time."""
    lanes, spent = Lanes(), Counter[str]()
    for one in queues:
        lanes.add(one)
    for _ in range(turns):
        queue = lanes.pop()
        assert queue is not None
        cost = costs_us[queue.name]
        spent[queue.name] += round(cost)
        lanes.add(queue)
        lanes.spend(queue, cost)
    return spent


@given(
    st.tuples(*[st.floats(50, 3_000) for _ in WEIGHTS]),
    st.permutations(sorted(WEIGHTS)),
)
def test_lanes_get_their_shares_of_the_time_whatever_their_calls_cost(
    costs: tuple[float, ...], order: list[str]
) -> None:
    queues = [CallQueue(lane, lane, "someone") for lane in order]
    spent = spent_by(queues, dict(zip(order, costs, strict=True)), 6_000)
    total = sum(spent.values())
    for lane, weight in WEIGHTS.items():
        assert abs(spent[lane] / total - weight / 10) < 0.05


def test_a_flood_of_one_origin_gets_no_more_than_another_who_asks_for_as_much() -> None:
    flood = [CallQueue(f"room {number}", "interactive", "bridge") for number in range(50)]
    human = CallQueue("room 0 of a human", "interactive", "@alice:test")
    spent = spent_by([*flood, human], {queue.name: 500.0 for queue in [*flood, human]}, 2_000)
    share = spent[human.name] / sum(spent.values())
    assert 0.45 < share < 0.55


def test_who_comes_rarely_waits_for_one_turn_of_each_other() -> None:
    lanes = Lanes()
    for number in range(30):
        lanes.add(CallQueue(f"room {number}", "interactive", "bridge"))
    lanes.add(CallQueue("mine", "interactive", "@alice:test"))
    turns = []
    for _ in range(10):
        queue = lanes.pop()
        assert queue is not None
        turns.append(queue.name)
        lanes.add(queue)
        lanes.spend(queue, 1_000)
    assert "mine" in turns[:2]


def test_a_lane_alone_is_not_held_up_by_its_debts() -> None:
    lanes = Lanes()
    queue = CallQueue("import", "bulk", "bridge")
    for _ in range(5):
        lanes.add(queue)
        assert lanes.pop() is queue
        lanes.spend(queue, 1_000_000)
    assert len(lanes) == 0
    assert lanes.pop() is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_what_is_inside_is_what_was_added_and_not_taken(steps: list[tuple[int, bool]]) -> None:
    lanes, inside = Lanes(), dict[str, CallQueue]()
    queues = [CallQueue(str(n), ["interactive", "bulk"][n % 2], f"origin {n % 3}") for n in range(6)]
    for number, adds in steps:
        queue = queues[number]
        if adds:
            lanes.add(queue)
            inside[queue.name] = queue
        else:
            lanes.discard(queue)
            inside.pop(queue.name, None)
        assert len(lanes) == len(inside)
        assert set(lanes) == set(inside)
    while (popped := lanes.pop()) is not None:
        assert inside.pop(popped.name) is popped
    assert not inside


def test_costs_follow_what_is_measured() -> None:
    costs = Costs()
    assert costs.of(SetTyping) == FIRST_GUESS_US
    for _ in range(200):
        costs.decided(SetTyping, 0.002)
    assert 1_900 < costs.of(SetTyping) < 2_001
    for _ in range(500):
        costs.decided(SetTyping, 0.0)
    assert costs.of(SetTyping) == LEAST_US
    for _ in range(50):
        costs.committed(10, 0.1)
    assert 0.0099 < costs.seconds_each < 0.0101
