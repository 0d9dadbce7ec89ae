"""Rule 5: may this m.room.member event change this membership?

The numbers are those of version 12; the first sub-rules of older versions count one less, because they do not know 5.2.

Spec: rooms/v1 to v12, #authorisation-rules.
"""

from collections.abc import Callable, Mapping
from typing import Final

from hs_common.matrix.auth.create_rules import is_user_id
from hs_common.matrix.auth.error import AuthError, require
from hs_common.matrix.auth.room_state import CREATE_KEY, AuthState, join_rule_of, membership_of, power_levels_of
from hs_common.matrix.auth.third_party_invite_rules import authorise_third_party_invite
from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import creator
from hs_common.matrix.room_versions import RoomVersion


def authorise_membership(event: Event, state: AuthState) -> None:
    """Return if the m.room.member event is allowed in this state, raise AuthError if not."""
    # 1. If there is no state_key property, or no membership property in content, reject.
    if event.state_key is None:
        raise AuthError("m.room.member without state_key")
    membership = event.membership
    require(membership is not None, "m.room.member without membership")
    # 2. If content has a join_authorised_via_users_server key: reject if the event is not validly signed by the
    #    homeserver of that user. The signature is checked with `required_signatures`; what is no user has no homeserver
    #    to sign.
    if event.room_version.restricted_joins and "join_authorised_via_users_server" in event.content:
        authorised_via = event.content["join_authorised_via_users_server"]
        require(is_user_id(authorised_via), "join_authorised_via_users_server is not a user id")
    # 3. to 7.: by membership.
    if membership == "knock" and not event.room_version.knocking:
        raise AuthError("this room version knows no knocking")
    rule = _RULES.get(membership or "")
    # 8. Otherwise, the membership is unknown. Reject.
    if rule is None:
        raise AuthError("the membership is not known")
    rule(event, event.state_key, state)


def _authorise_join(event: Event, target: str, state: AuthState) -> None:
    # 3.1. If the only previous event is an m.room.create and the state_key is the creator, allow.
    create = state[CREATE_KEY]
    if event.prev_event_ids == (create.event_id,) and target == creator(create):
        return
    # 3.2. If the sender does not match state_key, reject.
    require(event.sender == target, "nobody joins for another user")
    # 3.3. If the sender is banned, reject.
    membership = membership_of(state, target)
    require(membership != "ban", "the sender is banned")
    join_rule = join_rule_of(state)
    version = event.room_version
    # 3.4. If the join_rule is invite or knock then allow if membership state is invite or join.
    if join_rule == "invite" or (join_rule == "knock" and version.knocking):
        require(membership in ("invite", "join"), "the sender is not invited")
    # 3.5. If the join_rule is restricted or knock_restricted:
    elif _is_restricted(join_rule, version):
        _authorise_restricted_join(event, membership, state)
    # 3.6. If the join_rule is public, allow.
    # 3.7. Otherwise, reject.
    else:
        require(join_rule == "public", "the join rule lets nobody in")


def _is_restricted(join_rule: object, version: RoomVersion) -> bool:
    if join_rule == "restricted":
        return version.restricted_joins
    return join_rule == "knock_restricted" and version.knock_restricted_join_rule


def _authorise_restricted_join(event: Event, membership: str | None, state: AuthState) -> None:
    # 3.5.1. If membership state is join or invite, allow.
    if membership in ("join", "invite"):
        return
    # 3.5.2. If the join_authorised_via_users_server key in content is not a user with sufficient permission to invite
    #        other users or is not a joined member of the room, reject.
    authorised_via = event.content.get("join_authorised_via_users_server")
    if not isinstance(authorised_via, str):
        raise AuthError("the sender is not invited, and nobody authorised the join")
    levels = power_levels_of(state)
    require(membership_of(state, authorised_via) == "join", "the user who authorised the join is not in the room")
    require(levels.user_level(authorised_via) >= levels.invite, "the user who authorised the join may not invite")
    # 3.5.3. Otherwise, allow.


def _authorise_invite(event: Event, target: str, state: AuthState) -> None:
    # 4.1. If content has a third_party_invite property: decided by its own rules.
    if "third_party_invite" in event.content:
        authorise_third_party_invite(event, target, state)
        return
    # 4.2. If the sender's current membership state is not join, reject.
    require(membership_of(state, event.sender) == "join", "the sender is not in the room")
    # 4.3. If target user's current membership state is join or ban, reject.
    require(membership_of(state, target) not in ("join", "ban"), "the user is in the room, or banned")
    # 4.4. If the sender's power level is greater than or equal to the invite level, allow.
    # 4.5. Otherwise, reject.
    levels = power_levels_of(state)
    require(levels.user_level(event.sender) >= levels.invite, "the sender may not invite")


def _authorise_leave(event: Event, target: str, state: AuthState) -> None:
    sender_membership = membership_of(state, event.sender)
    # 5.1. If the sender matches state_key, allow if and only if that user's current membership state is invite, join,
    #      or knock.
    if event.sender == target:
        knocked = sender_membership == "knock" and event.room_version.knocking
        require(knocked or sender_membership in ("invite", "join"), "the sender is not in the room")
        return
    # 5.2. If the sender's current membership state is not join, reject.
    require(sender_membership == "join", "the sender is not in the room")
    levels = power_levels_of(state)
    sender_level = levels.user_level(event.sender)
    # 5.3. If the target user's current membership state is ban, and the sender's power level is less than the ban
    #      level, reject.
    require(membership_of(state, target) != "ban" or sender_level >= levels.ban, "the sender may not unban")
    # 5.4. If the sender's power level is greater than or equal to the kick level, and the target user's power level is
    #      less than the sender's power level, allow.
    # 5.5. Otherwise, reject.
    require(sender_level >= levels.kick, "the sender may not kick")
    require(levels.user_level(target) < sender_level, "the user has as much power as the sender")


def _authorise_ban(event: Event, target: str, state: AuthState) -> None:
    # 6.1. If the sender's current membership state is not join, reject.
    require(membership_of(state, event.sender) == "join", "the sender is not in the room")
    # 6.2. If the sender's power level is greater than or equal to the ban level, and the target user's power level is
    #      less than the sender's power level, allow.
    # 6.3. Otherwise, reject.
    levels = power_levels_of(state)
    sender_level = levels.user_level(event.sender)
    require(sender_level >= levels.ban, "the sender may not ban")
    require(levels.user_level(target) < sender_level, "the user has as much power as the sender")


def _authorise_knock(event: Event, target: str, state: AuthState) -> None:
    # 7.1. If the join_rule is anything other than knock or knock_restricted, reject.
    join_rule = join_rule_of(state)
    knock_restricted = join_rule == "knock_restricted" and event.room_version.knock_restricted_join_rule
    require(join_rule == "knock" or knock_restricted, "the join rule does not allow knocking")
    # 7.2. If sender does not match state_key, reject.
    require(event.sender == target, "nobody knocks for another user")
    # 7.3. If the sender's current membership is not ban, invite, or join, allow.
    # 7.4. Otherwise, reject.
    require(membership_of(state, target) not in ("ban", "invite", "join"), "the sender is banned, invited or joined")


_RULES: Final[Mapping[str, Callable[[Event, str, AuthState], None]]] = {
    "join": _authorise_join,
    "invite": _authorise_invite,
    "leave": _authorise_leave,
    "ban": _authorise_ban,
    "knock": _authorise_knock,
}
