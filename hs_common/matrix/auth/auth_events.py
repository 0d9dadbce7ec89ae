"""Which events give an event the right to be sent: choosing them for our own, checking those that others list.

Spec: server-server API, #auth-events-selection; rooms/v1 to v12, #authorisation-rules (rules 2 and 3 of version 12).
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from hs_common.matrix.auth.error import AuthError, require
from hs_common.matrix.auth.room_state import CREATE_KEY, JOIN_RULES_KEY, POWER_LEVELS_KEY
from hs_common.matrix.auth.third_party_invite_rules import signed_of
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import RoomVersion


def auth_state_keys(
    room_version: RoomVersion, event_type: str, sender: str, state_key: str | None, content: Mapping[str, Any]
) -> list[StateKey]:
    """The places of the state whose events, where there are any, are the auth events of such an event; each once."""
    # The auth_events for the m.room.create event in a room is empty.
    if event_type == "m.room.create":
        return []
    # Depending on the room version, the m.room.create event.
    keys = [CREATE_KEY] if room_version.create_in_auth_events else []
    # The current m.room.power_levels event, and the sender's current m.room.member event.
    keys += (POWER_LEVELS_KEY, ("m.room.member", sender))
    # If type is m.room.member:
    if event_type == "m.room.member" and state_key is not None:
        keys += (key for key in _membership_keys(room_version, state_key, content) if key not in keys)
    return keys


def _membership_keys(room_version: RoomVersion, state_key: str, content: Mapping[str, Any]) -> list[StateKey]:
    membership = content.get("membership")
    # The target's current m.room.member event.
    keys = [("m.room.member", state_key)]
    # If membership is join, invite or knock, the current m.room.join_rules event.
    if membership in ("join", "invite", "knock"):
        keys.append(JOIN_RULES_KEY)
    # If membership is invite and content contains third_party_invite, the m.room.third_party_invite event with
    # state_key matching content.third_party_invite.signed.token.
    signed = signed_of(content) if membership == "invite" else None
    if signed is not None and isinstance(signed.get("token"), str):
        keys.append(("m.room.third_party_invite", signed["token"]))
    # If membership is join, join_authorised_via_users_server is present, and the room version supports restricted
    # rooms, then the m.room.member event of that user.
    authorised_via = content.get("join_authorised_via_users_server")
    if membership == "join" and room_version.restricted_joins and isinstance(authorised_via, str):
        keys.append(("m.room.member", authorised_via))
    return list(dict.fromkeys(keys))


def check_auth_events(event: Event, auth_events: Mapping[str, Event], rejected: AbstractSet[str] = frozenset()) -> None:
    """Return if an event lists auth events as it may, raise AuthError if not.

    `auth_events` holds the events listed, by event id; one that is not there cannot be had, which refuses the event.
    `rejected` holds the ids of those that were rejected, in version 12 also the create event's if it was.
    """
    version = event.room_version
    # 1. If type is m.room.create: decided without looking at auth events.
    if event.type == "m.room.create":
        return
    # 2. If the event's room_id is not an event ID for an accepted m.room.create event …, reject. (12)
    require(not version.room_id_is_create_hash or "$" + event.room_id[1:] not in rejected, "the room was rejected")
    # 3. Considering the event's auth_events:
    allowed = set(auth_state_keys(version, event.type, event.sender, event.state_key, event.content))
    seen: set[StateKey] = set()
    for event_id in event.auth_event_ids:
        auth_event = auth_events.get(event_id)
        if auth_event is None:
            raise AuthError(f"auth event {event_id} is not known")
        _check_auth_event(event, auth_event, allowed, rejected)
        # 3.1. If there are duplicate entries for a given type and state_key pair, reject.
        require(auth_event.key not in seen, f"two auth events for {auth_event.key}")
        seen.add(auth_event.key)
    # 3.4. If there is no m.room.create event among the entries, reject. (1 to 11)
    require(not version.create_in_auth_events or CREATE_KEY in seen, "m.room.create is not among the auth events")


def _check_auth_event(
    event: Event, auth_event: Event, allowed: AbstractSet[StateKey], rejected: AbstractSet[str]
) -> None:
    # 3.2. If there are entries whose type and state_key don't match those specified by the auth events selection,
    #      reject.
    is_allowed = auth_event.state_key is not None and auth_event.key in allowed
    require(is_allowed, f"auth event {auth_event.event_id} has nothing to do with the event")
    # 3.3. If there are entries which were themselves rejected under the checks on receipt of a PDU, reject.
    require(auth_event.event_id not in rejected, f"auth event {auth_event.event_id} was rejected")
    # 3.5. If any event in auth_events has a room_id which does not match that of the event being authorised, reject.
    require(auth_event.room_id == event.room_id, f"auth event {auth_event.event_id} is of another room")
