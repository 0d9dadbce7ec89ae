"""State resolution by the tables in `scenarios/`, and what holds of every room whatever happens in it."""

from collections.abc import Iterable
from hashlib import sha1
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.matrix.event import Event, StateMap
from hs_common.matrix.power_levels import PowerLevels
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion, StateResolution
from hs_common.matrix.state_resolution import Missing, resolve
from hs_common.matrix.state_resolution.auth_graph import AuthGraph, MissingEvents, auth_depths
from hs_common.matrix.state_resolution.conflict import (
    auth_difference,
    conflicted_state_subgraph,
    full_conflicted_set,
    split,
)
from hs_common.matrix.state_resolution.ordering import mainline_ordering, reverse_topological_power_ordering
from tests.common.matrix.random_rooms import Fork, forks
from tests.common.matrix.room import ALICE, BOB, CAROL, PaperRoom, Row, make_event, member, power_levels, topic
from tests.common.matrix.scenarios.state_resolution import CASES, TOPIC, USUAL, StateCase

EXAMPLES = settings(max_examples=40)
V11, V12 = ROOM_VERSIONS["11"], ROOM_VERSIONS["12"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shows)
def test_scenario(case: StateCase) -> None:
    for version in case.only_in:
        room = PaperRoom(version, [*USUAL, *case.rows])
        states = [dict(room.states_after[name]) for name in case.resolved]
        for key, name in (case.first_state or {}).items():
            states[0][key] = room.id(name)
        for ordered in permutations(states):
            state = resolve(version, ordered, room.events)
            assert isinstance(state, dict)
            found = {key: room.name(state[key]) if key in state else None for key in case.outcome}
            assert found == case.outcome, version.identifier


def test_every_scenario_has_its_own_name() -> None:
    assert len({case.shows for case in CASES}) == len(CASES)


# --- What holds of every room ---


def state_of(fork: Fork, states: list[StateMap]) -> StateMap:
    state = resolve(fork.room.version, states, fork.room.events)
    assert isinstance(state, dict)
    return state


@EXAMPLES
@given(forks())
def test_neither_the_order_of_the_states_nor_that_of_the_events_matters(fork: Fork) -> None:
    expected = state_of(fork, fork.states)
    fork.room.events = dict(sorted(fork.room.events.items(), reverse=True))
    for states in list(permutations(fork.states))[:6]:
        turned = [dict(reversed(state.items())) for state in states]
        assert state_of(fork, turned) == expected


@EXAMPLES
@given(forks())
def test_a_state_resolves_with_itself_to_itself(fork: Fork) -> None:
    for state in fork.states:
        assert resolve(fork.room.version, [state], {}) == state
        assert resolve(fork.room.version, [state] * 3, {}) == state


@EXAMPLES
@given(forks())
def test_every_entry_was_an_entry_of_that_place_before(fork: Fork) -> None:
    resolved = state_of(fork, fork.states)
    states = split(fork.states)
    assert resolved.items() >= states.unconflicted.items()
    in_some_state = {key for state in fork.states for key in state}
    led_there = {fork.room.events[event_id].key for event_id in chain_of(states.conflicted, fork.room.events)}
    assert resolved.keys() <= in_some_state | led_there
    assert all(fork.room.events[event_id].key == key for key, event_id in resolved.items())


@EXAMPLES
@given(forks())
def test_events_are_asked_for_until_they_suffice(fork: Fork) -> None:
    """With auth depths and without, starting from nothing: the answer is that of one who knows everything."""
    everything, version = fork.room.events, fork.room.version
    expected = state_of(fork, fork.states)
    all_depths = auth_depths(everything, everything)
    for given_depths in (True, False):
        events: dict[str, Event] = {}
        depths: dict[str, int] = {}
        while isinstance(
            state := resolve(version, fork.states, events, depths=depths if given_depths else None), Missing
        ):
            # Something new each time, so this ends.
            new = state.event_ids - events.keys() if given_depths else state.event_ids
            assert state.event_ids - (events.keys() & depths.keys()) if given_depths else new - events.keys()
            events |= {event_id: everything[event_id] for event_id in state.event_ids}
            depths |= {event_id: all_depths[event_id] for event_id in state.event_ids}
        assert state == expected


# --- The parts, against their definitions ---


def chain_of(event_ids: Iterable[str], events: dict[str, Event]) -> set[str]:
    """The events and their auth chains, plainly."""
    found = set(event_ids)
    pending = list(found)
    while pending:
        new = set(events[pending.pop()].auth_event_ids) - found
        found |= new
        pending += new
    return found


def graph_of(fork: Fork) -> AuthGraph:
    return AuthGraph(fork.room.events, auth_depths(fork.room.events, fork.room.events))


@EXAMPLES
@given(forks())
def test_the_auth_difference_is_what_its_definition_says(fork: Fork) -> None:
    chains = [chain_of(state.values(), fork.room.events) for state in fork.states]
    expected = {event_id for chain in chains for event_id in chain if not all(event_id in other for other in chains)}
    states = split(fork.states)
    assert auth_difference(states, graph_of(fork)) == expected
    assert full_conflicted_set(states, graph_of(fork), with_subgraph=False) == states.conflicted | expected


@EXAMPLES
@given(forks())
def test_the_split_is_what_its_definition_says(fork: Fork) -> None:
    states = split(fork.states)
    keys = {key for state in fork.states for key in state}
    agreed = {key for key in keys if len({state.get(key) for state in fork.states}) == 1}
    assert states.unconflicted == {key: fork.states[0][key] for key in agreed}
    for whole, remainder in zip(fork.states, states.remainders, strict=True):
        assert remainder == {key: event_id for key, event_id in whole.items() if key not in agreed}


@EXAMPLES
@given(forks(), st.data())
def test_the_conflicted_state_subgraph_is_what_its_definition_says(fork: Fork, data: st.DataObject) -> None:
    events = fork.room.events
    conflicted = data.draw(st.sets(st.sampled_from(sorted(events)), min_size=1, max_size=4))
    above = chain_of(conflicted, events)
    expected = {i for i in above if conflicted & chain_of([i], events)}
    assert conflicted_state_subgraph(conflicted, graph_of(fork)) == expected


@EXAMPLES
@given(forks(), st.data())
def test_the_power_ordering_is_what_its_definition_says(fork: Fork, data: st.DataObject) -> None:
    events = fork.room.events
    chosen = data.draw(st.sets(st.sampled_from(sorted(events)), max_size=8))

    def key(event_id: str) -> tuple[float, int, str]:
        auth_events = [events[i] for i in events[event_id].auth_event_ids]
        cited = [event for event in auth_events if event.type == "m.room.power_levels"]
        view = PowerLevels(events[fork.room.id("create")], cited[0] if cited else None)
        return (-view.user_level(events[event_id].sender), events[event_id].origin_server_ts, event_id)

    expected: list[str] = []
    while waiting := chosen.difference(expected):
        expected.append(min((i for i in waiting if chain_of([i], events) & waiting == {i}), key=key))
    assert reverse_topological_power_ordering(chosen, graph_of(fork)) == expected


@EXAMPLES
@given(forks(), st.data())
def test_the_mainline_ordering_is_what_its_definition_says(fork: Fork, data: st.DataObject) -> None:
    room = fork.room

    def mainline(event_id: str | None) -> list[str]:
        found = []
        while event_id is not None:
            found.append(event_id)
            cited = [i for i in room.events[event_id].auth_event_ids if room.events[i].type == "m.room.power_levels"]
            event_id = cited[0] if cited else None
        return found

    def key(event_id: str) -> tuple[float, int, str]:
        places = [line.index(cited) for cited in mainline(event_id)[1:] if cited in line]
        return (-places[0] if places else float("-inf"), room.events[event_id].origin_server_ts, event_id)

    levels = [event.event_id for event in room.events.values() if event.type == "m.room.power_levels"]
    start = data.draw(st.sampled_from([None, *levels]))
    line = mainline(start)
    assert mainline_ordering(set(room.events), start, graph_of(fork)) == sorted(room.events, key=key)


# --- By hand ---


def test_power_decides_where_the_auth_chains_leave_a_choice() -> None:
    room = PaperRoom(
        V11, [*USUAL, topic("by_bob", BOB, at=1), topic("by_alice", ALICE, at=9), topic("again", BOB, at=0)]
    )
    graph = AuthGraph(room.events, auth_depths(room.events, room.events))
    assert reverse_topological_power_ordering({"$by_bob", "$by_alice", "$again"}, graph) == [
        "$by_alice",
        "$again",
        "$by_bob",
    ]


def test_version_1_takes_the_lower_hash_at_the_same_depth() -> None:
    version = ROOM_VERSIONS["1"]
    for number in range(10):
        names = [f"x{number}", f"y{number}"]
        room = PaperRoom(version, [*USUAL, *(topic(name, BOB, after=["topic"]) for name in names)])
        hashes = {room.id(name): sha1(room.id(name).encode()).hexdigest() for name in names}
        assert room.resolved(*names)[TOPIC] == min(hashes, key=hashes.__getitem__)


def test_a_rejected_auth_event_does_not_speak_for_an_event() -> None:
    """Bob is known to the states by nothing but the auth events of his topics."""
    room = PaperRoom(V12, [*USUAL, topic("by_bob", BOB)])
    states = [dict(room.states_after["by_bob"]), dict(room.states_after["topic"])]
    assert resolve(V12, states, room.events) == states[0]
    resolved = resolve(V12, states, room.events, rejected={"$bob"})
    assert isinstance(resolved, dict)
    assert resolved[TOPIC] == "$topic"


def test_auth_chains_of_any_length_are_walked() -> None:
    for version in (V11, V12):
        room = PaperRoom(version, [member("alice", ALICE, "join"), power_levels("l0", ALICE, {ALICE: 100, BOB: 0})])
        # Twice what Python's stack would carry.
        length = 2000
        create = ["create"] if version.create_in_auth_events else []
        for number in range(1, length):
            event = make_event(
                version,
                f"l{number}",
                ALICE,
                "m.room.power_levels",
                "",
                {"users": {BOB: number % 100} if version is V12 else {ALICE: 100, BOB: number % 100}},
                auth=[*create, "alice", f"l{number - 1}"],
                at=number,
            )
            room.events[event.event_id] = event
        first = room.states_after["l0"]
        last = first | {("m.room.power_levels", ""): f"$l{length - 1}"}
        assert resolve(version, [first, last], room.events) == last


def test_a_circle_of_auth_events_is_an_error_instead_of_an_endless_walk() -> None:
    first = make_event(V11, "first", ALICE, "m.room.topic", "", auth=["second"])
    second = make_event(V11, "second", ALICE, "m.room.topic", "", auth=["first"])
    events = {event.event_id: event for event in (first, second)}
    with pytest.raises(ValueError, match="runs in a circle"):
        resolve(V11, [{TOPIC: "$first"}, {TOPIC: "$second"}], events)


@pytest.mark.parametrize("version", [V11, V12], ids=["11", "12"])
@pytest.mark.parametrize(
    "race",
    [
        (topic("x", ALICE), topic("y", BOB, after=["m999"])),
        (member("x", "@new:n.example", "join"), member("y", CAROL, "leave", after=["m999"])),
        (member("x", CAROL, "ban", sender=BOB), member("y", CAROL, "join", after=["m999"])),
    ],
    ids=["topics", "members", "ban"],
)
def test_with_depths_only_what_differs_is_asked_for(version: RoomVersion, race: tuple[Row, Row]) -> None:
    """In a room with a thousand members, a race touches a handful of events."""
    members = [member(f"m{number}", f"@m{number}:m.example", "join") for number in range(1000)]
    renamed = [member(f"n{number}", f"@m{number}:m.example", "join") for number in range(10)]
    room = PaperRoom(version, [*USUAL, *renamed, *members, *race])
    depths = auth_depths(room.events, room.events)
    events: dict[str, Event] = {}
    states = [room.states_after["x"], room.states_after["y"]]
    while isinstance(state := resolve(version, states, events, depths=depths), Missing):
        events |= {event_id: room.events[event_id] for event_id in state.event_ids}
    assert state == state_of(Fork(room, states), states)
    assert len(events) <= 12


def test_power_levels_that_end_below_the_mainline_are_not_on_it() -> None:
    """Two power levels events without one above them, which no honest room has."""
    room = PaperRoom(V11, [member("alice", ALICE, "join"), power_levels("levels", ALICE, {ALICE: 100})])
    room.add(Row("other", ALICE, "m.room.power_levels", "", {"users": {}}, auth=["create"]))
    room.add(topic("on_levels", ALICE, auth=["create", "levels"], at=9))
    room.add(topic("on_other", ALICE, auth=["create", "other"], at=10))
    graph = AuthGraph(room.events, auth_depths(room.events, room.events))
    assert mainline_ordering({"$on_levels", "$on_other"}, "$levels", graph) == ["$on_other", "$on_levels"]


def test_an_event_that_cannot_be_had_is_named_in_each_answer() -> None:
    room = PaperRoom(V11, [*USUAL, topic("x", ALICE), topic("y", BOB, after=["topic"])])
    del room.events["$levels"]
    states = [room.states_after["x"], room.states_after["y"]]
    for version in ROOM_VERSIONS.values():
        if version.state_resolution is not StateResolution.V1:
            assert resolve(version, states, room.events) == Missing(frozenset({"$levels"}))


def test_the_walks_name_all_that_is_missing() -> None:
    events = {"$top": make_event(V11, "top", ALICE, "m.room.topic", "", auth=["left", "right"])}
    depths = {"$top": 2, "$left": 1}
    graph = AuthGraph(events, depths)
    with pytest.raises(MissingEvents) as missing:
        graph.chain(["$top"], 0)
    assert missing.value.event_ids == {"$left", "$right"}
    with pytest.raises(MissingEvents) as missing:
        auth_difference(split([{TOPIC: "$top"}, {TOPIC: "$left"}]), AuthGraph({}, depths))
    assert missing.value.event_ids == {"$top", "$left"}


def test_an_event_without_create_event_above_it_has_no_power() -> None:
    lone = make_event(V11, "lone", ALICE, "m.room.topic", "")
    graph = AuthGraph({"$lone": lone}, {"$lone": 0})
    assert reverse_topological_power_ordering({"$lone"}, graph) == ["$lone"]


def test_message_rows_leave_the_state_as_it_is() -> None:
    room = PaperRoom(V12, [*USUAL, Row("message", ALICE, "m.room.message", None)])
    assert room.states_after["message"] == room.states_after["topic"]
