"""What a client can and cannot do here. The same for all users, but for what only administrators can, and for what is
done at the authentication service by those who have logged in there.

Spec: client-server API, #capabilities-negotiation.
"""

from typing import Any, Final

from hs_common.config.limits import Limits
from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.room_versions import ROOM_VERSIONS

_AT_THE_SERVICE: Final = ("m.change_password", "m.3pid_changes", "m.get_login_token")
"""What takes user-interactive authentication, which goes with tokens of this server only."""


class Capabilities:
    """`default_room_version` is that of rooms created without naming one."""

    def __init__(
        self,
        default_room_version: str,
        limits: Limits,
        *,
        can_change_threepids: bool,
        can_change_password: bool,
        can_give_login_tokens: bool,
    ) -> None:
        delayed = {"max_delay_ms": limits.delayed_event_longest_ms, "max_scheduled": limits.delayed_events_of_user}
        common: dict[str, Any] = {
            "m.delayed_events": delayed,
            "org.matrix.msc4140.delayed_events": delayed,
            "m.change_password": {"enabled": can_change_password},
            "m.room_versions": {"default": default_room_version, "available": dict.fromkeys(ROOM_VERSIONS, "stable")},
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": {"enabled": True},
            "m.3pid_changes": {"enabled": can_change_threepids},
            "m.get_login_token": {"enabled": can_give_login_tokens},
            "m.profile_fields": {"enabled": True},
            "m.forget_forced_upon_leave": {"enabled": False},
        }
        moderation = {"m.account_moderation": {"suspend": True, "lock": True}}
        elsewhere = {name: {"enabled": False} for name in _AT_THE_SERVICE}
        self._told = {
            (is_admin, by_oauth): {
                "capabilities": common | (moderation if is_admin else {}) | (elsewhere if by_oauth else {})
            }
            for is_admin in (False, True)
            for by_oauth in (False, True)
        }

    @endpoint(
        "GET",
        "/_matrix/client/v3/capabilities",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3capabilities",
    )
    async def capabilities(self, request: Request) -> Reply:
        """What the requester can do."""
        return self._told[request.requester.admin, request.requester.by_oauth]
