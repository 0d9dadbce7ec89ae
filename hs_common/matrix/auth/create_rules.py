"""Rule 1: may this m.room.create event begin a room?

Spec: rooms/v1 to v12, #authorisation-rules.
"""

from hs_common.matrix.auth.error import require
from hs_common.matrix.auth.room_state import domain_of
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS

# Spec: appendices, #user-identifiers.
MAXIMUM_USER_ID_BYTES = 255


def authorise_create(event: Event) -> None:
    """Return if the create event is allowed, raise AuthError if not."""
    version = event.room_version
    # 1. If it has any prev_events, reject.
    require(not event.prev_event_ids, "m.room.create comes first in a room")
    if version.room_id_is_create_hash:
        # 2. If the event has a room_id, reject. (12)
        require("room_id" not in event.pdu, "m.room.create has no room_id in this room version")
    else:
        # 2. If the domain of the room_id does not match the domain of the sender, reject. (1 to 11)
        require(domain_of(event.room_id) == domain_of(event.sender), "the room_id is of another server")
    # 3. If content.room_version is present and is not a recognised version, reject.
    room_version = event.content.get("room_version", "1")
    require(isinstance(room_version, str) and room_version in ROOM_VERSIONS, "the room version is not known")
    # 4. If content has no creator property, reject. (1 to 10)
    if version.creator_in_content:
        require("creator" in event.content, "m.room.create names no creator")
    # 4. If additional_creators is present and is not an array of user IDs, reject. (12)
    if version.privileged_creators and "additional_creators" in event.content:
        additional = event.content["additional_creators"]
        require(isinstance(additional, list) and all(map(is_user_id, additional)), "additional_creators is malformed")
    # 5. Otherwise, allow.


def is_user_id(value: object) -> bool:
    """Whether a value has the form of a user id, historical ones included."""
    if not isinstance(value, str) or not value.startswith("@"):
        return False
    return domain_of(value) != "" and len(value.encode("utf-8", "surrogatepass")) <= MAXIMUM_USER_ID_BYTES
