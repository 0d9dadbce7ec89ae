"""The stage of user-interactive authentication in which people confirm something at the authentication service.

Rules: the service tells this server that a person has confirmed (`authentication_service`); that is good once, for the
account that it names.

Spec: client-server API, #oauth-authentication.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from hs_common.matrix.errors import unknown
from hs_common.storage.cross_signing_resets import take_reset
from hs_common.storage.queries import Queries
from hs_workers.client.uia_stages import StageFailed, StatelessStage


class OAuthStage(StatelessStage):
    """`url` gives where people manage their accounts. `now_ms` is the time of day."""

    def __init__(self, db: Queries, url: Callable[[], str], now_ms: Callable[[], int]) -> None:
        self._db = db
        self._url = url
        self._now_ms = now_ms

    def params(self) -> dict[str, Any] | None:
        """The page on which to confirm."""
        url = self._url()
        joined = "&" if "?" in url else "?"
        return {"url": f"{url}{joined}{urlencode({'action': 'org.matrix.cross_signing_reset'})}"}

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Nothing is remembered."""
        if user_id is None:
            raise unknown("Only who has a session confirms anything")
        if not await take_reset(self._db, user_id, self._now_ms()):
            raise StageFailed("M_FORBIDDEN", "Confirm on the page that the stage names first")
        return {}
