"""Whether guests may join a room. All else the authorisation rules decide, at the master, and `restricted_rooms`.

Spec: client-server API, #guest-access.
"""

from hs_common.federation.restricted_rooms import LOOKED_AT
from hs_common.matrix.errors import MatrixError
from hs_common.reading.room_power import State

GUEST_ACCESS = ("m.room.guest_access", "")
STATE_LOOKED_AT = [*LOOKED_AT, GUEST_ACCESS]


def check_guest(state: State) -> None:
    """403 `M_GUEST_ACCESS_FORBIDDEN` unless guests may join the room."""
    event = state.get(GUEST_ACCESS)
    if event is None or event.content.get("guest_access") != "can_join":
        raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests cannot join this room")
