"""Rooms whose states disagree, and what they agree on afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hs_common.matrix.event import StateKey
from hs_common.matrix.room_versions import RoomVersion
from tests.common.matrix.room import (
    ALICE,
    ALL_VERSIONS,
    BOB,
    CAROL,
    DAVE,
    Row,
    join_rules,
    member,
    power_levels,
    topic,
    versions,
)

TOPIC: StateKey = ("m.room.topic", "")
LEVELS: StateKey = ("m.room.power_levels", "")
RULES: StateKey = ("m.room.join_rules", "")


def of(user_id: str) -> StateKey:
    """The place of a user's membership."""
    return ("m.room.member", user_id)


# Alice made a public room and Bob its moderator; Carol and Dave are in it.
USUAL = (
    member("alice", ALICE, "join"),
    power_levels("levels", ALICE, {ALICE: 100, BOB: 50}),
    join_rules("rules", ALICE, "public"),
    member("bob", BOB, "join"),
    member("carol", CAROL, "join"),
    member("dave", DAVE, "join"),
    topic("topic", ALICE),
)


@dataclass(frozen=True)
class StateCase:
    """Some rows after USUAL, the events whose states are resolved, and what the resolved state then holds where."""

    shows: str
    rows: Sequence[Row]
    resolved: Sequence[str]
    # Names of events; None where nothing may be left.
    outcome: Mapping[StateKey, str | None]
    only_in: Sequence[RoomVersion] = ALL_VERSIONS
    # Changes to the first of the states, for those that come of resets long ago.
    first_state: Mapping[StateKey, str] | None = None


FIRST = versions("1")
LATER = versions("2-12")
SECOND = versions("2-11")
TWELVE = versions("12")

RACE = (topic("by_alice", ALICE, after=["topic"]), topic("by_bob", BOB, after=["topic"]))
CHAIN_OF_POWER = (
    power_levels("to_bob", ALICE, {ALICE: 100, BOB: 100}),
    power_levels("to_carol", BOB, {ALICE: 100, BOB: 100, CAROL: 100}),
    power_levels("to_dave", CAROL, {ALICE: 100, BOB: 100, CAROL: 100, DAVE: 10}),
)
HOTEL = (member("left", DAVE, "leave"), member("back", DAVE, "join"), member("left_again", DAVE, "leave"))
CLOSED_MEANWHILE = (
    join_rules("closed", ALICE, "invite", after=["topic"]),
    member("eve", "@eve:e.example", "join", after=["topic"]),
)
ADMINISTRATOR_LEFT = (
    power_levels("bob_too", ALICE, {ALICE: 100, BOB: 100}),
    join_rules("closed", BOB, "invite"),
    join_rules("open", BOB, "public"),
    member("bob_left", BOB, "leave"),
)
AGREED_IN_BETWEEN = (
    power_levels("bob_too", ALICE, {ALICE: 100, BOB: 100}),
    topic("since", ALICE),
    power_levels("by_bob", BOB, {ALICE: 100, BOB: 100, CAROL: 50}),
)

CASES = [
    # --- no power involved ---
    StateCase("a topic on one side only is taken", RACE[:1], ["topic", "by_alice"], {TOPIC: "by_alice"}, LATER),
    StateCase("of two topics the later stays", RACE, ["by_alice", "by_bob"], {TOPIC: "by_bob"}, LATER),
    StateCase(
        "the clock decides, not the order of arrival",
        [topic("by_alice", ALICE, after=["topic"], at=10**9), topic("by_bob", BOB, after=["topic"])],
        ["by_alice", "by_bob"],
        {TOPIC: "by_alice"},
        LATER,
    ),
    StateCase(
        "the ids decide at the same time",
        [topic("b", BOB, after=["topic"], at=5), topic("a", BOB, after=["topic"], at=5)],
        ["a", "b"],
        {TOPIC: "b"},
        LATER,
    ),
    StateCase(
        "version 1 takes the greater depth",
        [*RACE, Row("message", ALICE, "m.room.message", None, after=["by_alice"]), topic("deep", ALICE)],
        ["deep", "by_bob"],
        {TOPIC: "deep"},
        FIRST,
    ),
    StateCase(
        "three states at once",
        [*RACE, topic("by_bob_too", BOB, after=["topic"])],
        ["by_alice", "by_bob", "by_bob_too"],
        {TOPIC: "by_bob_too"},
        LATER,
    ),
    # --- mainline ---
    StateCase(
        "what builds on newer power levels wins over a later clock",
        [
            power_levels("newer", ALICE, {ALICE: 100, BOB: 50, CAROL: 10}, after=["topic"]),
            topic("by_alice", ALICE, at=5),
            topic("by_bob", BOB, after=["topic"], at=10**9),
        ],
        ["by_alice", "by_bob"],
        {TOPIC: "by_alice", LEVELS: "newer"},
        LATER,
    ),
    StateCase(
        "power levels that lost place what builds on them where they left the mainline",
        [
            power_levels("lost", BOB, {ALICE: 100, BOB: 50, DAVE: 50}, after=["topic"]),
            topic("on_lost", BOB, at=10**9),
            Row(
                "newer",
                ALICE,
                "m.room.power_levels",
                "",
                {"users": {ALICE: 100, BOB: 50}, "events": {"m.room.power_levels": 100}},
                after=["topic"],
            ),
            topic("on_newer", BOB, at=5),
        ],
        ["on_lost", "on_newer"],
        {TOPIC: "on_newer", LEVELS: "newer"},
        LATER,
    ),
    # --- moderation ---
    StateCase(
        "a ban undoes what the banned did meanwhile",
        [member("ban", BOB, "ban", sender=ALICE, after=["topic"]), topic("by_bob", BOB, after=["topic"])],
        ["ban", "by_bob"],
        {of(BOB): "ban", TOPIC: "topic"},
        LATER,
    ),
    StateCase(
        "version 1 agrees on the ban, since nobody contests it, and falls back on the topic",
        [member("ban", BOB, "ban", sender=ALICE, after=["topic"]), topic("by_bob", BOB, after=["topic"])],
        ["ban", "by_bob"],
        {of(BOB): "ban", TOPIC: "topic"},
        FIRST,
    ),
    StateCase(
        "a ban goes before a change of power by the banned",
        [
            member("ban", BOB, "ban", sender=ALICE, after=["topic"]),
            power_levels("by_bob", BOB, {ALICE: 100, BOB: 50, DAVE: 50}, after=["topic"], at=5),
        ],
        ["ban", "by_bob"],
        {of(BOB): "ban", LEVELS: "levels"},
        LATER,
    ),
    StateCase(
        "a demotion goes before what the demoted gives away",
        [
            power_levels("demotion", ALICE, {ALICE: 100, BOB: 0}, after=["topic"]),
            power_levels("gift", BOB, {ALICE: 100, BOB: 50, CAROL: 50}, after=["topic"], at=5),
        ],
        ["demotion", "gift"],
        {LEVELS: "demotion"},
        LATER,
    ),
    StateCase(
        "of two changes of power by equals the later stays, if the earlier still allows it",
        [
            power_levels("first", ALICE, {ALICE: 100, BOB: 50, CAROL: 10}, after=["topic"]),
            power_levels("second", ALICE, {ALICE: 100, BOB: 50, DAVE: 10}, after=["topic"]),
        ],
        ["first", "second"],
        {LEVELS: "second"},
        LATER,
    ),
    StateCase(
        "a banned user does not come back by a fork",
        [
            member("ban", DAVE, "ban", sender=BOB, after=["topic"]),
            member("dave_renamed", DAVE, "join", after=["topic"], at=10**9),
        ],
        ["ban", "dave_renamed"],
        {of(DAVE): "ban"},
        LATER,
    ),
    StateCase(
        "a kicked user who answers by joining again elsewhere stays out of a closed room",
        [
            join_rules("closed", ALICE, "invite", after=["topic"]),
            member("kick", DAVE, "leave", sender=BOB),
            member("dave_again", DAVE, "join", after=["topic"], at=10**9),
        ],
        ["kick", "dave_again"],
        {of(DAVE): "kick", RULES: "closed"},
        LATER,
    ),
    StateCase(
        "nobody joins behind closed doors",
        CLOSED_MEANWHILE,
        ["closed", "eve"],
        {
            RULES: "closed",
            of("@eve:e.example"): None,
        },
        LATER,
    ),
    StateCase(
        "in version 1 whoever is quick does",
        CLOSED_MEANWHILE,
        ["closed", "eve"],
        {
            RULES: "closed",
            of("@eve:e.example"): "eve",
        },
        FIRST,
    ),
    StateCase(
        "nor even before they are closed, by the clock",
        tuple(reversed(CLOSED_MEANWHILE)),
        ["closed", "eve"],
        {RULES: "closed", of("@eve:e.example"): None},
        LATER,
    ),
    StateCase(
        "a kick undoes what the kicked did meanwhile, even before by the clock",
        [topic("by_bob", BOB), member("kick", BOB, "leave", sender=ALICE, after=["topic"])],
        ["kick", "by_bob"],
        {of(BOB): "kick", TOPIC: "topic"},
        LATER,
    ),
    StateCase(
        "who leaves of their own will leaves behind what they did before",
        [topic("by_bob", BOB), member("bob_left", BOB, "leave", after=["topic"])],
        ["bob_left", "by_bob"],
        {of(BOB): "bob_left", TOPIC: "by_bob"},
        LATER,
    ),
    # --- what led to the states counts ---
    StateCase(
        "a power event brings along what made it possible",
        [
            power_levels("dave_too", ALICE, {ALICE: 100, BOB: 50, DAVE: 50}),
            member("kick", DAVE, "leave", sender=ALICE),
            member("dave_back", DAVE, "join"),
            member("kick_by_dave", CAROL, "leave", sender=DAVE),
        ],
        ["dave_too", "kick_by_dave"],
        {of(DAVE): "dave_back", of(CAROL): "kick_by_dave"},
        LATER,
    ),
    StateCase(
        "power handed on and on survives its being compared with the beginning",
        CHAIN_OF_POWER,
        ["topic", "to_dave"],
        {LEVELS: "to_dave"},
        LATER,
    ),
    StateCase("in version 1 it does not", CHAIN_OF_POWER, ["topic", "to_dave"], {LEVELS: "levels"}, FIRST),
    StateCase(
        "who left, came back and left again has left", HOTEL, ["left", "left_again"], {of(DAVE): "left_again"}, LATER
    ),
    StateCase(
        "in version 1 one may check out but never leave", HOTEL, ["left", "left_again"], {of(DAVE): "left"}, FIRST
    ),
    StateCase(
        "version 1 takes the last power levels in a row that are allowed",
        CHAIN_OF_POWER[:1],
        ["topic", "to_bob"],
        {LEVELS: "to_bob"},
        FIRST,
    ),
    StateCase(
        "version 1 resolves join rules by the power levels resolved before",
        [
            power_levels("demotion", ALICE, {ALICE: 100, BOB: 0}, after=["topic"]),
            join_rules("by_bob", BOB, "invite", after=["topic"]),
        ],
        ["demotion", "by_bob"],
        {LEVELS: "demotion", RULES: "rules"},
        FIRST,
    ),
    StateCase(
        "version 1 keeps nothing of a place where nothing is allowed",
        [*RACE[1:], topic("by_bob_too", BOB), member("ban", BOB, "ban", sender=ALICE)],
        ["ban", "ban"],
        {TOPIC: None},
        FIRST,
        first_state={TOPIC: "by_bob"},
    ),
    # --- state resets that version 2.1 ends ---
    StateCase(
        "where it is agreed that the administrator has left, their disputed join rules are lost",
        ADMINISTRATOR_LEFT,
        ["bob_left", "bob_left"],
        {RULES: None, of(BOB): "bob_left"},
        SECOND,
        first_state={RULES: "closed"},
    ),
    StateCase(
        "beginning from nothing keeps them",
        ADMINISTRATOR_LEFT,
        ["bob_left", "bob_left"],
        {RULES: "open", of(BOB): "bob_left"},
        TWELVE,
        first_state={RULES: "closed"},
    ),
    StateCase(
        "power levels fall back if those in between are agreed on by all",
        AGREED_IN_BETWEEN,
        ["by_bob", "by_bob"],
        {LEVELS: "levels"},
        SECOND,
        first_state={LEVELS: "levels"},
    ),
    StateCase(
        "the conflicted state subgraph brings back those in between",
        AGREED_IN_BETWEEN,
        ["by_bob", "by_bob"],
        {LEVELS: "by_bob"},
        TWELVE,
        first_state={LEVELS: "levels"},
    ),
]
