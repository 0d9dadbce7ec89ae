"""Small random rooms that fork and merge, for properties that hold of every room."""

from dataclasses import dataclass

from hypothesis import strategies as st

from hs_common.matrix.event import StateMap
from hs_common.matrix.room_versions import ROOM_VERSIONS
from tests.common.matrix.room import ALICE, BOB, CAROL, PaperRoom, Row, join_rules, member, power_levels, topic

USERS = (ALICE, BOB, CAROL)
# One of each algorithm of state resolution, and one on each side of the other changes.
VERSIONS = ("1", "2", "5", "9", "11", "12")


@dataclass
class Fork:
    """A room, and the states after some of its events."""

    room: PaperRoom
    states: list[StateMap]


@st.composite
def _rows(draw: st.DrawFn, name: str, names: list[str]) -> Row:
    """Somebody does something somewhere in the room, mostly near its end."""
    user, other = draw(st.sampled_from(USERS)), draw(st.sampled_from(USERS))
    level = draw(st.sampled_from((0, 50, 100)))
    row = draw(
        st.sampled_from(
            [
                topic(name, user),
                member(name, user, "join"),
                member(name, other, "leave", sender=user),
                member(name, other, "ban", sender=user),
                power_levels(name, user, {ALICE: 100, BOB: 50, other: level}),
                power_levels(name, user, {ALICE: 100, other: level}),
                join_rules(name, user, "public"),
                join_rules(name, user, "invite"),
            ]
        )
    )
    after = draw(st.lists(st.sampled_from(names[-4:]), min_size=1, max_size=2, unique=True))
    # Few different times, so that ids decide often.
    return Row(row.name, row.sender, row.type, row.state_key, row.content, after, draw(st.integers(0, 5)))


@st.composite
def forks(draw: st.DrawFn) -> Fork:
    """A room of honest servers: every event is allowed by the state before it."""
    version = ROOM_VERSIONS[draw(st.sampled_from(VERSIONS))]
    room = PaperRoom(
        version,
        [
            member("alice", ALICE, "join"),
            power_levels("levels", ALICE, {ALICE: 100, BOB: 50}),
            join_rules("rules", ALICE, "public"),
            member("bob", BOB, "join"),
        ],
    )
    names = ["bob"]
    for number in range(draw(st.integers(2, 14))):
        row = draw(_rows(f"e{number}", names))
        if room.add_if_allowed(row):
            names.append(row.name)
    chosen = draw(st.lists(st.sampled_from(names), min_size=2, max_size=4))
    return Fork(room, [room.states_after[name] for name in chosen])
