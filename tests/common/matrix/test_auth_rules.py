"""The authorisation rules, by the tables in `scenarios/` and by hand where a table says less."""

from dataclasses import replace
from typing import Any

import pytest

from hs_common.matrix.auth_rules import (
    AuthError,
    auth_state_keys,
    authorise,
    check_auth_events,
    is_user_id,
    required_signatures,
    state_of,
)
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.common.matrix.room import (
    ALICE,
    ALL_VERSIONS,
    BOB,
    CAROL,
    PaperRoom,
    Row,
    create_event,
    make_event,
    member,
    power_levels,
    versions,
)
from tests.common.matrix.scenarios import auth_membership, auth_power_levels, auth_sending
from tests.common.matrix.scenarios.auth_case import AuthCase, event_of

CASES = [*auth_membership.CASES, *auth_power_levels.CASES, *auth_sending.CASES]
V12 = ROOM_VERSIONS["12"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.shows)
def test_rule(case: AuthCase) -> None:
    for version in case.only_in:
        event, state = event_of(case.event, version), case.state(version)
        if version in case.allowed_in:
            authorise(event, state)
        else:
            with pytest.raises(AuthError) as refused:
                authorise(event, state)
            assert case.reason in refused.value.reason, version.identifier


def test_every_scenario_has_its_own_name() -> None:
    names = [case.shows for case in CASES]
    assert len(names) == len(set(names))


# --- 1. m.room.create ---


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.identifier)
def test_a_create_event_is_allowed(version: RoomVersion) -> None:
    authorise(create_event(version), {})


def refused_create(version: RoomVersion, content: dict[str, Any], **rest: Any) -> str:
    event = make_event(version, "create", ALICE, "m.room.create", "", content, **{"after": (), **rest})
    with pytest.raises(AuthError) as refused:
        authorise(event, {})
    return refused.value.reason


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.identifier)
def test_a_create_event_comes_first_and_names_a_known_version(version: RoomVersion) -> None:
    creator = {"creator": ALICE}
    assert "comes first" in refused_create(version, creator, after=["elsewhere"])
    assert "version is not known" in refused_create(version, {**creator, "room_version": "13"})
    assert "version is not known" in refused_create(version, {**creator, "room_version": ["1"]})


def test_a_create_event_names_the_creator_until_version_10() -> None:
    for version in versions("1-10"):
        assert "names no creator" in refused_create(version, {})
    for version in versions("11-12"):
        authorise(make_event(version, "create", ALICE, "m.room.create", "", {}, after=()), {})


def test_the_room_id_is_of_the_senders_server_until_version_11() -> None:
    for version in versions("1-11"):
        assert "of another server" in refused_create(version, {"creator": ALICE}, room_id="!room:b.example")


def test_the_room_id_is_not_in_the_create_event_of_version_12() -> None:
    event = replace_pdu(create_event(V12), room_id="!create")
    with pytest.raises(AuthError, match="has no room_id"):
        authorise(event, {})


def replace_pdu(event: Event, **changes: Any) -> Event:
    return Event.from_pdu({**event.pdu, **changes}, event.room_version, event.event_id)


def test_additional_creators_are_user_ids_from_version_12() -> None:
    for bad in ("@bob:b.example", [BOB, 5], ["bob"], None):
        content = {"creator": ALICE, "additional_creators": bad}
        assert "additional_creators is malformed" in refused_create(V12, content)
        authorise(make_event(ROOM_VERSIONS["11"], "create", ALICE, "m.room.create", "", content, after=()), {})
    authorise(create_event(V12, additional_creators=[BOB, CAROL]), {})


# --- 2. The room's create event ---


def test_an_event_belongs_to_the_room_of_the_create_event() -> None:
    other = replace_pdu(create_event(V12), origin_server_ts=5)
    other = Event.from_pdu(other.pdu, V12, "$other")
    message = make_event(V12, "event", ALICE, "m.room.message")
    with pytest.raises(AuthError, match="of another room"):
        authorise(message, {other.key: other})


# --- 10.4 ---


def test_creators_have_no_level_in_power_levels_of_version_12() -> None:
    for content, create in (({"users": {ALICE: 100}}, {}), ({"users": {BOB: 1}}, {"additional_creators": [BOB]})):
        event = make_event(V12, "event", ALICE, "m.room.power_levels", "", content)
        state = state_of([create_event(V12, **create), make_event(V12, "a", ALICE, "m.room.member", ALICE, JOIN)])
        with pytest.raises(AuthError, match="creators have no level to set"):
            authorise(event, state)


JOIN = {"membership": "join"}


# --- Redactions until version 2 ---


@pytest.mark.parametrize("version", versions("1-2"), ids=lambda version: version.identifier)
def test_a_redaction_is_allowed_within_one_server(version: RoomVersion) -> None:
    state = state_of([create_event(version), make_event(version, "c", CAROL, "m.room.member", CAROL, JOIN)])
    same = make_event(version, "event", CAROL, "m.room.redaction", redacts="$x:a.example")
    authorise(same, state)
    other = make_event(version, "event", CAROL, "m.room.redaction", redacts="$x:b.example")
    with pytest.raises(AuthError, match="may not redact"):
        authorise(other, state)


# --- Auth events selection ---


def selected(version: RoomVersion, row: Row) -> list[str]:
    keys = auth_state_keys(version, row.type, row.sender, row.state_key, row.content)
    assert len(keys) == len(set(keys))
    return [f"{event_type[7:]} {state_key}".strip() for event_type, state_key in keys]


V11 = ROOM_VERSIONS["11"]
TARGET = f"member {CAROL}"
SENDER = f"member {BOB}"


def third_party_invite(**signed: Any) -> Row:
    content = {"membership": "invite", "third_party_invite": {"signed": signed}}
    return Row("event", BOB, "m.room.member", CAROL, content)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row("create", ALICE, "m.room.create"), []),
        (Row("message", BOB, "m.room.message", None), ["power_levels", SENDER]),
        (member("e", BOB, "join"), ["power_levels", SENDER, "join_rules"]),
        (member("e", CAROL, "invite", BOB), ["power_levels", SENDER, TARGET, "join_rules"]),
        (member("e", CAROL, "knock"), ["power_levels", TARGET, "join_rules"]),
        (member("e", CAROL, "ban", BOB), ["power_levels", SENDER, TARGET]),
        (member("e", CAROL, "leave"), ["power_levels", TARGET]),
        (third_party_invite(token="t"), ["power_levels", SENDER, TARGET, "join_rules", "third_party_invite t"]),
        (third_party_invite(token=5), ["power_levels", SENDER, TARGET, "join_rules"]),
        (auth_membership.joins_via(BOB), ["power_levels", TARGET, "join_rules", SENDER]),
        (auth_membership.joins_via(5), ["power_levels", TARGET, "join_rules"]),
        (auth_membership.joins_via(BOB, "leave"), ["power_levels", TARGET]),
        (Row("e", BOB, "m.room.member", None, JOIN), ["power_levels", SENDER]),
    ],
)
def test_selection(row: Row, expected: list[str]) -> None:
    assert selected(V12, row) == expected
    assert selected(V11, row) == (["create", *expected] if expected else [])


def test_restricted_joins_select_no_authorising_member_before_version_8() -> None:
    assert SENDER not in selected(ROOM_VERSIONS["7"], auth_membership.joins_via(BOB))
    assert SENDER in selected(ROOM_VERSIONS["8"], auth_membership.joins_via(BOB))


# --- The auth events that an event lists ---


def room(version: RoomVersion) -> PaperRoom:
    return PaperRoom(
        version,
        [
            member("alice", ALICE, "join"),
            power_levels("levels", ALICE, {ALICE: 100}),
            power_levels("levels2", ALICE, {ALICE: 100, BOB: 50}),
            Row("topic", ALICE, "m.room.topic"),
            Row("message", ALICE, "m.room.message", None),
            Row("event", ALICE, "m.room.message", None),
        ],
    )


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.identifier)
def test_auth_events_as_they_should_be(version: RoomVersion) -> None:
    paper = room(version)
    for event in paper.events.values():
        check_auth_events(event, paper.events)


@pytest.mark.parametrize(
    ("listed", "rejected", "reason"),
    [
        (["alice", "levels", "levels2"], [], "two auth events for"),
        (["alice", "alice"], [], "two auth events for"),
        (["alice", "topic"], [], "nothing to do with the event"),
        (["alice", "message"], [], "nothing to do with the event"),
        (["alice", "levels"], ["levels"], "was rejected"),
        (["alice", "nowhere"], [], "is not known"),
        (["alice", "foreign"], [], "of another room"),
    ],
)
def test_auth_events_that_should_not_be(listed: list[str], rejected: list[str], reason: str) -> None:
    for version in ALL_VERSIONS:
        paper = room(version)
        foreign = make_event(version, "foreign", ALICE, "m.room.power_levels", "", {}, room_id="!other:a.example")
        auth_events = {**paper.events, foreign.event_id: foreign}
        create = ["create"] if version.create_in_auth_events else []
        event = make_event(version, "event", ALICE, "m.room.message", auth=[*create, *listed])
        with pytest.raises(AuthError, match=reason):
            check_auth_events(event, auth_events, frozenset(map(paper.id, rejected)))


def test_the_create_event_is_listed_until_version_11_and_must_not_be_in_version_12() -> None:
    for version in ALL_VERSIONS:
        paper = room(version)
        auth = ["alice"] if version.create_in_auth_events else ["create", "alice"]
        reason = "is not among the auth events" if version.create_in_auth_events else "nothing to do with the event"
        with pytest.raises(AuthError, match=reason):
            check_auth_events(make_event(version, "event", ALICE, "m.room.message", auth=auth), paper.events)


def test_a_rejected_create_event_makes_no_room_in_version_12() -> None:
    paper = room(V12)
    with pytest.raises(AuthError, match="the room was rejected"):
        check_auth_events(paper.events["$event"], paper.events, {"$create"})


# --- Signatures ---


@pytest.mark.parametrize(
    ("row", "v2", "v7", "v8"),
    [
        (Row("e", BOB, "m.room.message", None), "a.example b.example", "b.example", "b.example"),
        (auth_membership.joins_via(BOB), "a.example c.example", "c.example", "b.example c.example"),
        (auth_membership.joins_via("bob"), "a.example c.example", "c.example", "c.example"),
        (third_party_invite(), "a.example", "", ""),
        (
            Row("e", BOB, "m.x", None, auth_membership.joins_via(CAROL).content),
            "a.example b.example",
            *["b.example"] * 2,
        ),
    ],
)
def test_required_signatures(row: Row, v2: str, v7: str, v8: str) -> None:
    for identifier, expected in (("2", v2), ("7", v7), ("8", v8)):
        event = event_of(replace(row, after=()), ROOM_VERSIONS[identifier])
        assert " ".join(sorted(required_signatures(event))) == expected


USER_IDS = [ALICE, "@:a.example", "@a b\u00e9:x", "@" + "a" * 252 + ":x", "@\ud800:x"]
NO_USER_IDS = ["@a", "@a:", "a:b", None, "@" + "a" * 253 + ":x"]


def test_what_is_a_user_id() -> None:
    assert all(map(is_user_id, USER_IDS))
    assert not any(map(is_user_id, NO_USER_IDS))
