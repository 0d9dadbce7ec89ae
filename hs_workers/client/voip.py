"""Where clients find the server that relays their calls.

Spec: client-server API, #voice-over-ip.
"""

from collections.abc import Callable

from hs_common.config.turn import Turn
from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.turn_credentials import turn_credentials


class VoiceOverIp:
    """`now_ms` is the time of day."""

    def __init__(self, settings: Turn, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._now_ms = now_ms

    @endpoint(
        "GET",
        "/_matrix/client/v3/voip/turnServer",
        auth=Auth.USER_OR_GUEST,
        reads=False,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3voipturnserver",
    )
    async def turn_server(self, request: Request) -> Reply:
        """Where it is, and how to log in there. 404 `M_NOT_FOUND` where there is none."""
        settings, requester = self._settings, request.requester
        if not settings.uris:
            raise not_found("This server has no TURN server")
        if requester.is_guest and not settings.allow_guests:
            raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests get no TURN server here; register an account")
        username, password = settings.username, str(settings.password)
        if settings.shared_secret:
            good_until_s = (self._now_ms() + settings.lifetime_ms) // 1000
            username, password = turn_credentials(settings.shared_secret, requester.user_id, good_until_s)
        return {
            "username": username,
            "password": password,
            "uris": list(settings.uris),
            "ttl": settings.lifetime_ms // 1000,
        }
