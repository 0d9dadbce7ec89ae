"""Whether an identity server stands by a key with which it has signed an invitation: only the server of whoever invited
asks, since others could not decide alike.

Spec: client-server API, #third-party-invites; identity service API, #get_matrixidentityv2pubkeyisvalid.
"""

from typing import Final
from urllib.parse import quote

import orjson
from twisted.logger import Logger

from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import EgressError
from hs_common.matrix.errors import unknown

LIMITS: Final = Limits(total_s=10, body_bytes=16 * 1024)
"""Answers are one word, and another server waits meanwhile."""

_log = Logger()


class KeyValidity:
    """Asks at the URL that came with a key, wherever it leads: identity servers have no names of their own."""

    def __init__(self, egress: EgressClient) -> None:
        self._egress = egress

    async def __call__(self, url: str, public_key: str) -> bool:
        """Whether the key is valid; 502 if nobody says so."""
        asked = f"{url}{'&' if '?' in url else '?'}public_key={quote(public_key, safe='')}"
        try:
            fetched = await self._egress.fetch(Purpose.IDENTITY, "GET", asked, limits=LIMITS)
            answer = orjson.loads(fetched.body) if fetched.is_success else None
        except (EgressError, orjson.JSONDecodeError) as error:
            _log.info("{url} does not say whether a key is valid: {error}", url=url, error=error)
            answer = None
        if not isinstance(answer, dict):
            raise unknown("The identity server does not say whether the key of the invitation is valid", 502)
        return answer.get("valid") is True
