"""Rules 4 to 9, and what older versions say of aliases and redactions."""

from typing import Any

from tests.common.matrix.room import ALICE, BOB, CAROL, Row, member, power_levels, versions
from tests.common.matrix.scenarios.auth_case import NOWHERE, AuthCase

MESSAGE = Row("event", CAROL, "m.room.message", None, {"body": "hello"})
CAROL_JOINED = member("carol", CAROL, "join")
FIRST_TWO = versions("1-2")


def levels(**content: Any) -> Row:
    """Power levels with Alice at 100, Bob at 50, and more."""
    return Row("levels", ALICE, "m.room.power_levels", "", {"users": {ALICE: 100, BOB: 50}, **content})


def aliases(state_key: str | None) -> Row:
    """Carol, not in the room, says which aliases her server has for it."""
    return Row("event", CAROL, "m.room.aliases", state_key, {"aliases": []})


CASES = [
    # --- 4. m.federate ---
    AuthCase(
        "a closed room takes its own server's events",
        Row("event", ALICE, "m.room.message", None),
        create={
            "m.federate": False,
        },
    ),
    AuthCase(
        "a closed room refuses those of others",
        Row("event", BOB, "m.room.message", None),
        create={"m.federate": False},
        allowed_in=NOWHERE,
        reason="does not federate",
    ),
    AuthCase(
        "m.federate closes the room only by being false",
        Row("event", BOB, "m.room.message", None),
        create={
            "m.federate": 0,
        },
    ),
    # --- m.room.aliases, until version 5 ---
    AuthCase(
        "aliases of the sender's server, from outside",
        aliases("c.example"),
        allowed_in=versions("1-5"),
        reason="not in the room",
    ),
    AuthCase("aliases of another server", aliases("b.example"), allowed_in=NOWHERE, reason=""),
    AuthCase("aliases without state_key", aliases(None), allowed_in=NOWHERE, reason=""),
    # --- 6. ---
    AuthCase("a member sends a message", MESSAGE, [CAROL_JOINED]),
    AuthCase("nobody else does", MESSAGE, allowed_in=NOWHERE, reason="not in the room"),
    AuthCase(
        "an invited user is not a member",
        MESSAGE,
        [member("carol", CAROL, "invite", sender=ALICE)],
        allowed_in=NOWHERE,
        reason="not in the room",
    ),
    AuthCase(
        "a membership that is no string is none",
        MESSAGE,
        [Row("carol", CAROL, "m.room.member", CAROL, {"membership": 5})],
        allowed_in=NOWHERE,
        reason="not in the room",
    ),
    # --- 7. ---
    AuthCase("inviting by e-mail requires the invite level", Row("event", BOB, "m.room.third_party_invite", "token")),
    AuthCase(
        "inviting by e-mail without it",
        Row("event", CAROL, "m.room.third_party_invite", "token"),
        [CAROL_JOINED, levels(invite=1)],
        allowed_in=NOWHERE,
        reason="may not invite",
    ),
    # --- 8. ---
    AuthCase(
        "messages require events_default",
        MESSAGE,
        [CAROL_JOINED, levels(events_default=1)],
        allowed_in=NOWHERE,
        reason="requires level 1",
    ),
    AuthCase("or their own level", MESSAGE, [CAROL_JOINED, levels(events_default=1, events={"m.room.message": 0})]),
    AuthCase("state requires state_default", Row("event", BOB, "m.room.topic", ""), [levels(state_default=50)]),
    AuthCase(
        "state requires 50 if nothing is said",
        Row("event", CAROL, "m.room.topic", ""),
        [CAROL_JOINED],
        allowed_in=NOWHERE,
        reason="requires level 50",
    ),
    AuthCase(
        "users_default gives power to all",
        Row("event", CAROL, "m.room.topic", ""),
        [
            CAROL_JOINED,
            levels(users_default=50),
        ],
    ),
    AuthCase(
        "without power levels the creator has power",
        Row("event", ALICE, "m.room.topic", ""),
        lacking=[("m.room.power_levels", "")],
    ),
    AuthCase(
        "without power levels nobody else has",
        Row("event", BOB, "m.room.topic", ""),
        lacking=[("m.room.power_levels", "")],
        allowed_in=NOWHERE,
        reason="requires level 50, the sender has 0",
    ),
    AuthCase(
        "creators have power whatever the power levels say",
        Row("event", BOB, "m.room.topic", ""),
        [power_levels("levels", ALICE, {})],
        create={"additional_creators": [BOB]},
        allowed_in=versions("12"),
        reason="requires level 50",
    ),
    # --- 9. ---
    AuthCase("one's own user id as state_key", Row("event", BOB, "m.example", BOB)),
    AuthCase(
        "another's user id as state_key",
        Row("event", ALICE, "m.example", BOB),
        allowed_in=NOWHERE,
        reason="state_key is another user's",
    ),
    # --- m.room.redaction, until version 2 ---
    AuthCase("a moderator redacts", Row("event", BOB, "m.room.redaction", None)),
    AuthCase(
        "a redaction of nothing",
        Row("event", CAROL, "m.room.redaction", None),
        [CAROL_JOINED],
        allowed_in=versions("3-12"),
        reason="may not redact",
    ),
    # --- the room ---
    AuthCase(
        "a room without create event",
        MESSAGE,
        [CAROL_JOINED],
        lacking=[("m.room.create", "")],
        allowed_in=NOWHERE,
        reason="has no m.room.create",
    ),
]
