"""Which versions of the specification and which unstable features this server has.

Spec: client-server API, #api-versions.
"""

from collections.abc import Mapping
from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request

VERSIONS: Final = (
    *("r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"),
    *(f"v1.{minor}" for minor in range(1, 20)),
)

UNSTABLE_FEATURES: Final[Mapping[str, bool]] = {
    "org.matrix.msc3814": True,  # dehydrated devices
    "org.matrix.msc4140": True,  # delayed events: clients look for this until the specification has them
    "org.matrix.simplified_msc3575": True,  # sliding sync (MSC4186), asked for by apps released before it was merged
    "com.beeper.batch_sending": True,  # bridges import history only where it is advertised
    "fi.mau.msc2659.stable": True,  # the ping of application services, by the name that some look for
}


class Versions:
    """`unstable_features` are told to everybody, besides what this server always has."""

    def __init__(self, unstable_features: Mapping[str, bool]) -> None:
        self._answer = {"versions": list(VERSIONS), "unstable_features": {**UNSTABLE_FEATURES, **unstable_features}}

    @endpoint(
        "GET",
        "/_matrix/client/versions",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="client-server-api/#get_matrixclientversions",
    )
    async def versions(self, request: Request) -> Reply:
        """The same for all, so no token is looked at."""
        return self._answer
