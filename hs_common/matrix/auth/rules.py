"""The authorisation rules: may this event be sent, given this state?

`authorise` is on the path of every event, so an ordinary message passes through it in a few lookups. It looks at the
event and the state alone. What the rules say about the list of auth events is in `auth_events.py`; that the event is
signed by all who must sign it is checked by those who have keys, with `signatures.required_signatures`.

Spec: server-server API, #authorisation-rules; rooms/v1 to v12, #authorisation-rules.
"""

from hs_common.matrix.auth.create_rules import authorise_create
from hs_common.matrix.auth.error import AuthError, require
from hs_common.matrix.auth.membership_rules import authorise_membership
from hs_common.matrix.auth.power_levels_rules import authorise_power_levels
from hs_common.matrix.auth.room_state import CREATE_KEY, AuthState, domain_of, membership_of, power_levels_of
from hs_common.matrix.event import Event
from hs_common.matrix.power_levels import PowerLevels


def authorise(event: Event, state: AuthState) -> None:
    """Return if the event is allowed in this state, which is the state before it (or its auth events' state).

    `state` needs the places given by `auth_state_keys` and always the create event, also in versions that do not list
    it among the auth events. Raises AuthError if the event is not allowed.
    """
    # 1. If type is m.room.create: decided by itself.
    if event.type == "m.room.create":
        authorise_create(event)
        return
    create = state.get(CREATE_KEY)
    if create is None:
        raise AuthError("the room has no m.room.create event")
    # 2. If the event's room_id is not an event ID for an accepted m.room.create event, with the sigil ! instead of $,
    #    reject. (Whether it was accepted is looked at by `check_auth_events`.)
    require(create.room_id == event.room_id, "the m.room.create event is that of another room")
    # 4. If m.federate is false and the sender's domain is not that of the create event's sender, reject.
    if create.content.get("m.federate") is False:
        require(domain_of(event.sender) == domain_of(create.sender), "the room does not federate")
    # Until version 5: if type is m.room.aliases, its own rule decides.
    if event.type == "m.room.aliases" and event.room_version.special_case_aliases_auth:
        _authorise_aliases(event)
        return
    # 5. If type is m.room.member: decided by the rules of membership.
    if event.type == "m.room.member":
        authorise_membership(event, state)
        return
    _authorise_sending(event, state)


def _authorise_aliases(event: Event) -> None:
    # 1. If event has no state_key, reject.
    # 2. If sender's domain doesn't match state_key, reject.
    # 3. Otherwise, allow.
    require(event.state_key == domain_of(event.sender), "m.room.aliases is for the sender's own server")


def _authorise_sending(event: Event, state: AuthState) -> None:
    # 6. If the sender's current membership state is not join, reject.
    require(membership_of(state, event.sender) == "join", "the sender is not in the room")
    levels = power_levels_of(state)
    sender_level = levels.user_level(event.sender)
    # 7. If type is m.room.third_party_invite: allow if and only if the sender's level is at least the invite level.
    if event.type == "m.room.third_party_invite":
        require(sender_level >= levels.invite, "the sender may not invite")
        return
    # 8. If the event type's required power level is greater than the sender's power level, reject.
    state_key = event.state_key
    required = levels.event_level(event.type, is_state=state_key is not None)
    if required > sender_level:
        raise AuthError(f"sending {event.type} requires level {required}, the sender has {sender_level}")
    # 9. If the event has a state_key that starts with an @ and does not match the sender, reject.
    if state_key is not None:
        require(not state_key.startswith("@") or state_key == event.sender, "the state_key is another user's")
    # 10. If type is m.room.power_levels: limited by the sender's own level.
    if event.type == "m.room.power_levels":
        authorise_power_levels(event, state)
    # Until version 2: if type is m.room.redaction, limited.
    elif event.type == "m.room.redaction" and event.room_version.redaction_checked_by_auth_rules:
        _authorise_redaction(event, levels)
    # 11. Otherwise, allow.


def _authorise_redaction(event: Event, levels: PowerLevels) -> None:
    # 1. If the sender's power level is greater than or equal to the redact level, allow.
    # 2. If the domain of the event_id being redacted is the domain of the event_id of the redaction, allow.
    # 3. Otherwise, reject.
    same_domain = event.redacts is not None and domain_of(event.redacts) == domain_of(event.event_id)
    require(levels.user_level(event.sender) >= levels.redact or same_domain, "the sender may not redact this event")
