"""Rule 10, m.room.power_levels: nobody gives more power than they have, or takes it from those who have as much."""

from typing import Any

from tests.common.matrix.room import ALICE, BOB, CAROL, DAVE, Row, versions
from tests.common.matrix.scenarios.auth_case import EVERYWHERE, NOWHERE, AuthCase

STRICT = versions("10-12")
LENIENT = versions("1-9")
# Bob may change power levels, and has 50.
BEFORE: dict[str, Any] = {
    "users": {ALICE: 100, BOB: 50, CAROL: 50, DAVE: 10},
    "events": {"m.room.power_levels": 50, "m.room.name": 60},
    "notifications": {"room": 60},
    "ban": 50,
    "kick": 60,
}


def levels(name: str, content: dict[str, Any], sender: str = BOB) -> Row:
    """A power levels event with this content."""
    return Row(name, sender, "m.room.power_levels", "", content)


def changed(shows: str, allowed_in: Any = EVERYWHERE, reason: str = "", sender: str = BOB, **changes: Any) -> AuthCase:
    """Bob (50) changes what stands in BEFORE. A change of a table gives entries; None takes the entry away."""
    content = {**BEFORE}
    for name, change in changes.items():
        content[name] = {**BEFORE[name], **change} if isinstance(change, dict) else change
        if isinstance(content[name], dict):
            content[name] = {key: value for key, value in content[name].items() if value is not None}
    after = {name: value for name, value in content.items() if value is not None}
    return AuthCase(shows, levels("event", after, sender), [levels("levels", BEFORE)], allowed_in, reason)


def first(shows: str, content: dict[str, Any], allowed_in: Any, reason: str = "") -> AuthCase:
    """Alice sets the first power levels of the room."""
    lacking = [("m.room.power_levels", "")]
    return AuthCase(shows, levels("event", content, ALICE), (), allowed_in, reason, lacking=lacking)


CASES = [
    changed("nothing changes"),
    # --- the form of the content ---
    first("the first power levels may say anything", {"users": {ALICE: 100, BOB: 900}, "ban": 1000}, EVERYWHERE),
    first("power levels without users", {}, EVERYWHERE),
    first("levels as strings", {"users": {BOB: " +050 "}, "ban": "-5"}, LENIENT, "is not a level"),
    first("levels with a fraction", {"users": {BOB: 50.9}}, LENIENT, "users is not an object"),
    first("a level of no value", {"users": {BOB: float("inf")}}, NOWHERE, "users is not an object"),
    first("a level that is no number", {"ban": "fifty"}, NOWHERE, "ban is not a level"),
    first("a level that is too long to be read", {"ban": "0" * 1001}, NOWHERE, "ban is not a level"),
    first("a level that is true", {"ban": True}, NOWHERE, "ban is not a level"),
    first("events that are no object", {"events": []}, NOWHERE, "events is not an object"),
    first("notifications that are no object", {"notifications": []}, versions("1-5"), "notifications is not an object"),
    first("users that are no object", {"users": []}, NOWHERE, "users is not an object"),
    first("users that are no users", {"users": {"bob": 50}}, NOWHERE, "users is not an object"),
    first("a user without server", {"users": {"@bob": 50}}, NOWHERE, "users is not an object"),
    first("a user id too long", {"users": {f"@{'b' * 255}:b.example": 50}}, NOWHERE, "users is not an object"),
    # --- the levels that stand by themselves ---
    changed("a level changed up to one's own", ban=49),
    changed("a level added up to one's own", invite=50),
    changed("a level added above one's own", NOWHERE, "invite is set above", invite=51),
    changed("a level raised above one's own", NOWHERE, "ban is set above", ban=51),
    changed("a level above one's own lowered", NOWHERE, "kick is above", kick=50),
    changed("a level above one's own removed", NOWHERE, "kick is above", kick=None),
    changed("a level removed", ban=None),
    changed("the same level as a string", LENIENT, "is not a level", ban="50", kick="060"),
    # --- events and notifications ---
    changed("an event level added", events={"m.room.topic": 50}),
    changed("an event level added above one's own", NOWHERE, "m.room.topic is set above", events={"m.room.topic": 51}),
    changed("an event level above one's own changed", NOWHERE, "m.room.name is above", events={"m.room.name": 50}),
    changed("an event level above one's own removed", NOWHERE, "m.room.name is above", events={"m.room.name": None}),
    changed("a notification level above one's own", versions("1-5"), "room is above", notifications={"room": 50}),
    changed("a notification level set too high", versions("1-5"), "x is set above", notifications={"x": 51}),
    # --- users ---
    changed("power given up to one's own", users={DAVE: 50}),
    changed("power given to a new user", users={"@eve:e.example": 50}),
    changed("more power given than one has", NOWHERE, "more power than the sender has", users={DAVE: 51}),
    changed("power taken from a lesser one", users={DAVE: None}),
    changed("power taken from an equal", NOWHERE, "as much power", users={CAROL: 10}),
    changed("an equal removed", NOWHERE, "as much power", users={CAROL: None}),
    changed("one's own power given up", users={BOB: 10}),
    changed("one's own power raised", NOWHERE, "more power than the sender has", users={BOB: 51}),
    changed("a creator gives any power", versions("12"), "more power than", sender=ALICE, users={DAVE: 10**15}),
    # --- after power levels that older versions took ---
    AuthCase(
        "a table that was no table is empty",
        levels("event", {"users": {BOB: 50}, "events": {"m.room.name": 5}}),
        [levels("levels", {"users": {BOB: 50}, "events": "none"})],
    ),
    AuthCase(
        "a level that could not be read counts as none",
        levels("event", {"users": {BOB: 50, DAVE: 10}, "ban": 50}),
        [levels("levels", {"users": {BOB: 50, DAVE: {}}, "ban": ["x"]})],
    ),
]
