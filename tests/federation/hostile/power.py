"""Attacks on the state of a room of ours: undoing what was decided, and power that nobody gave.

Spec: server-server API, #room-state-resolution, #soft-failure; the room versions' authorization rules.
"""

from functools import partial
from itertools import cycle
from typing import Any, Final

from hs_common.matrix.event import Event
from tests.federation.hostile.evil import V1
from tests.federation.hostile.guest import MALLORY, VisitedRoom, follow, ours
from tests.federation.hostile.stage import EVIL, Stage

Json = dict[str, Any]
LEVELS: Final = "m.room.power_levels"


def _after_a_ban(stage: Stage) -> tuple[VisitedRoom, list[str], dict[Any, Event]]:
    """A room in which Mallory had power and is banned, and what it was before that: heads and state."""
    room = ours(stage, power=50)
    follow(stage, room, stage.alice.set_state(room.room_id, "m.room.topic", {"topic": "before"}))
    heads, state = list(room.heads), dict(room.state)
    stage.alice.call("POST", ("rooms", room.room_id, "ban"), {"user_id": MALLORY})
    stage.alice.set_state(room.room_id, "m.room.topic", {"topic": "ours"})
    return room, heads, state


def _undoing(room: VisitedRoom, heads: list[str], state: dict[Any, Event], count: int) -> list[Event]:
    """State events as if the ban had not been: of the topic, of power, of who may join, and of the ban itself."""
    levels = {**dict(state[(LEVELS, "")].content), "users_default": 50}
    tricks = cycle(
        [
            ("m.room.topic", {"topic": "theirs"}, ""),
            (LEVELS, levels, ""),
            ("m.room.join_rules", {"join_rule": "private"}, ""),
            ("m.room.member", {"membership": "join", "displayname": "back"}, MALLORY),
        ]
    )
    return [
        room.compose(kind, {**content, "n": number}, state_key=key, prev=heads, state=state)
        for number, (kind, content, key) in zip(range(count), tricks, strict=False)
    ]


def _is_as_it_was(stage: Stage, room: VisitedRoom, levels: Json | None) -> None:
    alice, room_id = stage.alice, room.room_id
    marker = alice.say(room_id, "still here")
    stage.until(lambda: alice.event(room_id, marker), "the room goes on")
    assert alice.state(room_id, "m.room.topic") == {"topic": "ours"}
    assert alice.state(room_id, LEVELS) == levels
    assert alice.state(room_id, "m.room.join_rules") == {"join_rule": "public"}
    assert (alice.state(room_id, "m.room.member", MALLORY) or {})["membership"] == "ban"
    assert (alice.state(room_id, "m.room.member", alice.user_id) or {})["membership"] == "join"


def decided(stage: Stage, events: list[Event]) -> None:
    """Wait until the server has nothing left to decide of what it was sent."""
    ids = "', '".join(event.event_id for event in events)
    statement = f"SELECT count(*) FROM events WHERE event_id IN ('{ids}')"
    stage.until(lambda: stage.server.query(statement) == [(len(events),)], "all is decided")


def state_resets(stage: Stage) -> str:
    """9. State from before a ban, cited as if the ban had not been: soft failed, and resolved away."""
    room, heads, state = _after_a_ban(stage)
    levels = stage.alice.state(room.room_id, LEVELS)
    with stage.attack():
        events = _undoing(room, heads, state, stage.count)
        for event in events:
            assert stage.evil.results(event) == {event.event_id: {}}
        decided(stage, events)
    _is_as_it_was(stage, room, levels)
    stage.unseen(room, *(event.event_id for event in events[:20]))
    return "200; soft failed; topic, power and ban stay as they were"


def invented_states(stage: Stage) -> str:
    """10. Events after an unknown one, at which the attacker tells a state without the ban and with itself in power."""
    room, heads, state = _after_a_ban(stage)
    levels = stage.alice.state(room.room_id, LEVELS)
    powerful = room.compose(LEVELS, {"users": {MALLORY: 100}}, state_key="", prev=heads, state=state)
    told = {**state, (LEVELS, ""): powerful}
    unknown = "$" + "u" * 43
    with stage.attack():
        events = []
        for event in _undoing(room, [unknown], told, stage.count):
            room.events[event.event_id], room.before[event.event_id] = event, told
            events.append(event)
        room.events[powerful.event_id] = powerful
        stage.evil.instead[f"{V1}/get_missing_events"] = lambda asked: (200, {"events": []})
        try:
            for event in events:
                assert stage.evil.results(event) == {event.event_id: {}}
            stage.until(lambda: stage.evil.asked_for("/state"), "we ask for the state")
            decided(stage, events[:1])
        finally:
            del stage.evil.instead[f"{V1}/get_missing_events"]
    _is_as_it_was(stage, room, levels)
    return "200; the told state is resolved with ours, and loses"


def _tricks(alice: str, levels: Json) -> list[tuple[str, Json, str]]:
    users = levels.get("users", {})
    of_users = [
        {**users, MALLORY: 100},
        {user: level for user, level in users.items() if user != alice},
        {**users, alice: 0, f"@friend:{EVIL}": 100},
        {**users, MALLORY: "100"},
        {**users, f"@friend:{EVIL}": 2**53 - 1},
        {**users, "everybody": 100},
        [MALLORY],
    ]
    return [
        *((LEVELS, {**levels, "users": changed}, "") for changed in of_users),
        (LEVELS, {**levels, "users_default": 100}, ""),
        (LEVELS, {**levels, "users_default": "50"}, ""),
        (LEVELS, {**levels, "events": {**levels.get("events", {}), LEVELS: 0}}, ""),
        (LEVELS, {**levels, "events": {"m.room.topic": None}}, ""),
        (LEVELS, {}, ""),
        ("m.room.member", {"membership": "leave"}, alice),
        ("m.room.member", {"membership": "ban"}, alice),
        ("m.room.member", {"membership": "join"}, f"@victim:{EVIL}"),
        ("m.room.create", {"room_version": "11"}, ""),
        ("m.room.server_acl", {"allow": []}, ""),
        ("m.room.tombstone", {"replacement_room": f"!other:{EVIL}"}, ""),
    ]


def power_tricks(stage: Stage) -> str:
    """11. More power than one has, by all the ways that have been tried; in room version 12 also by naming creators."""
    done = 0
    share = max(1, stage.count // 2)
    rooms = {version: ours(stage, power=50, version=version) for version in ("11", "12")}
    alice = stage.alice.user_id
    with stage.attack(2 * share):
        for version, room in rooms.items():
            levels = stage.alice.state(room.room_id, LEVELS) or {}
            tricks = _tricks(alice, levels)
            if version == "12":
                tricks.insert(0, (LEVELS, {**levels, "users": {**levels["users"], alice: 100}}, ""))
            for number, (kind, content, key) in zip(range(share), cycle(tricks), strict=False):
                pdu = dict(room.compose(kind, {**content, "n": number}, state_key=key).pdu)
                results = stage.evil.results(pdu)
                assert len(results) == 1
                done += 1
            stage.alice.say(room.room_id, "mine")
            member = room.compose("m.room.message", {"body": "honest"})
            assert stage.evil.results(member) == {member.event_id: {}}
            stage.until(partial(stage.alice.sees, room.room_id, member.event_id), "an honest event arrives")
            assert stage.alice.state(room.room_id, LEVELS) == levels
            assert (stage.alice.state(room.room_id, "m.room.member", alice) or {})["membership"] == "join"
            assert stage.alice.state(room.room_id, "m.room.tombstone") is None
            assert stage.alice.state(room.room_id, "m.room.server_acl") is None
    assert done == 2 * share
    return "200; rejected by the authorization rules; levels stay as they were"
