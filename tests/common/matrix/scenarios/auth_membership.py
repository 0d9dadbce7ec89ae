"""Rule 5, m.room.member: who may join, invite, leave, kick, ban and knock."""

from tests.common.matrix.room import ALICE, BOB, CAROL, DAVE, Row, join_rules, member, power_levels, versions
from tests.common.matrix.scenarios.auth_case import EVERYWHERE, NOWHERE, AuthCase

PUBLIC = join_rules("rules", ALICE, "public")
KNOCK = join_rules("rules", ALICE, "knock")
RESTRICTED = join_rules("rules", ALICE, "restricted")
KNOCK_RESTRICTED = join_rules("rules", ALICE, "knock_restricted")
KNOCKING = versions("7-12")
RESTRICTING = versions("8-12")
KNOCK_RESTRICTING = versions("10-12")


def joins_via(authorised_via: object, membership: str = "join") -> Row:
    """Carol joins, authorised by a member."""
    content = {"membership": membership, "join_authorised_via_users_server": authorised_via}
    return Row("event", CAROL, "m.room.member", CAROL, content)


CASES = [
    AuthCase(
        "a member event without state_key",
        Row("event", ALICE, "m.room.member", None, {"membership": "join"}),
        allowed_in=NOWHERE,
        reason="without state_key",
    ),
    AuthCase(
        "a member event without membership",
        Row("event", ALICE, "m.room.member", ALICE, {}),
        allowed_in=NOWHERE,
        reason="without membership",
    ),
    AuthCase(
        "a membership that nobody knows",
        member("event", CAROL, "visit"),
        allowed_in=NOWHERE,
        reason="membership is not known",
    ),
    # --- join ---
    AuthCase(
        "the creator joins right after creating",
        member("event", ALICE, "join", after=["create"]),
        lacking=[
            ("m.room.member", ALICE),
        ],
    ),
    AuthCase(
        "the creator does not join later without invitation",
        member("event", ALICE, "join"),
        given=[member("alice", ALICE, "leave")],
        allowed_in=NOWHERE,
        reason="not invited",
    ),
    AuthCase(
        "another user does not join right after the creation",
        member("event", CAROL, "join", after=["create"]),
        allowed_in=NOWHERE,
        reason="not invited",
    ),
    AuthCase(
        "nobody joins for another user",
        member("event", CAROL, "join", sender=BOB),
        given=[PUBLIC],
        allowed_in=NOWHERE,
        reason="nobody joins for another",
    ),
    AuthCase(
        "a banned user does not join",
        member("event", CAROL, "join"),
        given=[PUBLIC, member("ban", CAROL, "ban", sender=BOB)],
        allowed_in=NOWHERE,
        reason="the sender is banned",
    ),
    AuthCase("anybody joins a public room", member("event", CAROL, "join"), given=[PUBLIC]),
    AuthCase(
        "nobody joins an invite-only room uninvited",
        member("event", CAROL, "join"),
        allowed_in=NOWHERE,
        reason="not invited",
    ),
    AuthCase(
        "a room without join rules is invite-only",
        member("event", CAROL, "join"),
        lacking=[("m.room.join_rules", "")],
        allowed_in=NOWHERE,
        reason="not invited",
    ),
    AuthCase(
        "an invited user joins",
        member("event", CAROL, "join"),
        given=[member("invite", CAROL, "invite", sender=BOB)],
    ),
    AuthCase("a joined user joins again, for a new display name", member("event", BOB, "join")),
    AuthCase(
        "an invited user joins a room with knocking",
        member("event", CAROL, "join"),
        given=[KNOCK, member("invite", CAROL, "invite", sender=BOB)],
        allowed_in=KNOCKING,
        reason="lets nobody in",
    ),
    AuthCase(
        "a knocking user does not join before the answer",
        member("event", CAROL, "join"),
        given=[KNOCK, member("knock", CAROL, "knock")],
        allowed_in=NOWHERE,
        reason="",
    ),
    AuthCase(
        "a private room lets nobody in",
        member("event", CAROL, "join"),
        given=[join_rules("rules", ALICE, "private"), member("invite", CAROL, "invite", sender=BOB)],
        allowed_in=NOWHERE,
        reason="lets nobody in",
    ),
    # --- restricted joins ---
    AuthCase(
        "a join authorised by a member who may invite",
        joins_via(BOB),
        given=[RESTRICTED],
        allowed_in=RESTRICTING,
        reason="lets nobody in",
    ),
    AuthCase(
        "likewise where one may also knock",
        joins_via(BOB),
        given=[KNOCK_RESTRICTED],
        allowed_in=KNOCK_RESTRICTING,
        reason="lets nobody in",
    ),
    AuthCase(
        "an invited user joins a restricted room without authorisation",
        member("event", CAROL, "join"),
        given=[RESTRICTED, member("invite", CAROL, "invite", sender=BOB)],
        allowed_in=RESTRICTING,
        reason="lets nobody in",
    ),
    AuthCase(
        "a join into a restricted room that nobody authorised",
        member("event", CAROL, "join"),
        given=[RESTRICTED],
        allowed_in=NOWHERE,
        reason="",
    ),
    AuthCase(
        "a join authorised by somebody outside",
        joins_via(DAVE),
        given=[RESTRICTED],
        allowed_in=NOWHERE,
        only_in=RESTRICTING,
        reason="authorised the join is not in the room",
    ),
    AuthCase(
        "a join authorised by a member who may not invite",
        joins_via(DAVE),
        given=[
            RESTRICTED,
            member("dave", DAVE, "join"),
            Row("levels", ALICE, "m.room.power_levels", "", {"invite": 50, "users": {ALICE: 100}}),
        ],
        allowed_in=NOWHERE,
        only_in=RESTRICTING,
        reason="authorised the join may not invite",
    ),
    AuthCase(
        "a join authorised by what is no user, into a public room",
        joins_via("b.example"),
        given=[PUBLIC],
        allowed_in=versions("1-7"),
        reason="not a user id",
    ),
    # --- invite ---
    AuthCase("a member invites", member("event", CAROL, "invite", sender=BOB)),
    AuthCase(
        "a member invites somebody who knocked",
        member("event", CAROL, "invite", sender=BOB),
        given=[
            member("knock", CAROL, "knock"),
        ],
    ),
    AuthCase(
        "nobody invites from outside",
        member("event", CAROL, "invite", sender=DAVE),
        allowed_in=NOWHERE,
        reason="the sender is not in the room",
    ),
    AuthCase(
        "nobody invites who is in the room",
        member("event", BOB, "invite", sender=ALICE),
        allowed_in=NOWHERE,
        reason="is in the room, or banned",
    ),
    AuthCase(
        "nobody invites who is banned",
        member("event", CAROL, "invite", sender=ALICE),
        given=[member("ban", CAROL, "ban", sender=ALICE)],
        allowed_in=NOWHERE,
        reason="is in the room, or banned",
    ),
    AuthCase(
        "inviting requires the invite level",
        member("event", CAROL, "invite", sender=BOB),
        given=[Row("levels", ALICE, "m.room.power_levels", "", {"invite": 51, "users": {ALICE: 100, BOB: 50}})],
        allowed_in=NOWHERE,
        reason="may not invite",
    ),
    # --- leave ---
    AuthCase("a member leaves", member("event", BOB, "leave")),
    AuthCase(
        "an invited user declines",
        member("event", CAROL, "leave"),
        given=[
            member("invite", CAROL, "invite", sender=BOB),
        ],
    ),
    AuthCase(
        "a knocking user takes it back",
        member("event", CAROL, "leave"),
        given=[member("knock", CAROL, "knock")],
        allowed_in=KNOCKING,
        reason="the sender is not in the room",
    ),
    AuthCase(
        "nobody leaves a room they are not in",
        member("event", CAROL, "leave"),
        allowed_in=NOWHERE,
        reason="the sender is not in the room",
    ),
    AuthCase(
        "a banned user does not leave, which would undo the ban",
        member("event", CAROL, "leave"),
        given=[member("ban", CAROL, "ban", sender=BOB)],
        allowed_in=NOWHERE,
        reason="the sender is not in the room",
    ),
    AuthCase("a moderator kicks", member("event", CAROL, "leave", sender=BOB), given=[member("carol", CAROL, "join")]),
    AuthCase(
        "nobody kicks from outside",
        member("event", BOB, "leave", sender=CAROL),
        allowed_in=NOWHERE,
        reason="the sender is not in the room",
    ),
    AuthCase(
        "kicking requires the kick level",
        member("event", DAVE, "leave", sender=CAROL),
        given=[member("carol", CAROL, "join"), member("dave", DAVE, "join")],
        allowed_in=NOWHERE,
        reason="may not kick",
    ),
    AuthCase(
        "nobody kicks their equals",
        member("event", CAROL, "leave", sender=BOB),
        given=[member("carol", CAROL, "join"), power_levels("levels", ALICE, {ALICE: 100, BOB: 50, CAROL: 50})],
        allowed_in=NOWHERE,
        reason="as much power",
    ),
    AuthCase(
        "a moderator lifts a ban",
        member("event", CAROL, "leave", sender=BOB),
        given=[
            member("ban", CAROL, "ban", sender=ALICE),
        ],
    ),
    AuthCase(
        "lifting a ban requires the ban level",
        member("event", CAROL, "leave", sender=BOB),
        given=[
            member("ban", CAROL, "ban", sender=ALICE),
            Row("levels", ALICE, "m.room.power_levels", "", {"ban": 60, "users": {ALICE: 100, BOB: 50}}),
        ],
        allowed_in=NOWHERE,
        reason="may not unban",
    ),
    # --- ban ---
    AuthCase("a moderator bans, also from afar", member("event", CAROL, "ban", sender=BOB)),
    AuthCase(
        "nobody bans from outside",
        member("event", BOB, "ban", sender=CAROL),
        allowed_in=NOWHERE,
        reason="the sender is not in the room",
    ),
    AuthCase(
        "banning requires the ban level",
        member("event", DAVE, "ban", sender=CAROL),
        given=[member("carol", CAROL, "join")],
        allowed_in=NOWHERE,
        reason="may not ban",
    ),
    AuthCase(
        "nobody bans who has more power",
        member("event", ALICE, "ban", sender=BOB),
        allowed_in=NOWHERE,
        reason="as much power",
    ),
    AuthCase(
        "a level beyond the creator's number bans the creator, until creators are above all numbers",
        member("event", ALICE, "ban", sender=BOB),
        given=[power_levels("levels", ALICE, {ALICE: 100, BOB: 101})],
        allowed_in=versions("1-11"),
        reason="as much power",
    ),
    AuthCase(
        "one creator does not ban the other",
        member("event", BOB, "ban", sender=ALICE),
        given=[power_levels("levels", ALICE, {ALICE: 100})],
        create={"additional_creators": [BOB]},
        allowed_in=versions("1-11"),
        reason="as much power",
    ),
    # --- knock ---
    AuthCase(
        "knocking where it is allowed",
        member("event", CAROL, "knock"),
        given=[KNOCK],
        allowed_in=KNOCKING,
        reason="knows no knocking",
    ),
    AuthCase(
        "knocking where one may also join from elsewhere",
        member("event", CAROL, "knock"),
        given=[KNOCK_RESTRICTED],
        only_in=KNOCKING,
        allowed_in=KNOCK_RESTRICTING,
        reason="does not allow knocking",
    ),
    AuthCase(
        "knocking where it is not allowed",
        member("event", CAROL, "knock"),
        given=[PUBLIC],
        only_in=KNOCKING,
        allowed_in=NOWHERE,
        reason="does not allow knocking",
    ),
    AuthCase(
        "nobody knocks for another user",
        member("event", CAROL, "knock", sender=BOB),
        given=[KNOCK],
        only_in=KNOCKING,
        allowed_in=NOWHERE,
        reason="nobody knocks for another",
    ),
    *(
        AuthCase(
            f"nobody knocks with membership {membership}",
            member("event", CAROL, "knock"),
            given=[KNOCK, member("carol", CAROL, membership)],
            only_in=KNOCKING,
            allowed_in=NOWHERE,
            reason="banned, invited or joined",
        )
        for membership in ("ban", "invite", "join")
    ),
    AuthCase(
        "one may knock again",
        member("event", CAROL, "knock"),
        given=[KNOCK, member("carol", CAROL, "knock")],
        only_in=KNOCKING,
        allowed_in=EVERYWHERE,
    ),
]
