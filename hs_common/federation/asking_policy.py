"""Asks policy servers for their signatures.

Spec: server-server API, #asking-for-a-policy-server-signature-on-an-event.
"""

from typing import Any, Final

from hs_common.federation.failures import AnsweredError
from hs_common.federation.interfaces import Remote
from hs_common.matrix.errors import MatrixError, forbidden

TOO_MANY: Final = 429
MAXIMUM_WAIT_MS: Final = 3_600_000
"""No policy server makes a client of ours wait for longer than an hour."""


class RemotePolicyServers:
    """As `PolicyServer`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def sign(self, server: str, pdu: dict[str, Any]) -> dict[str, Any]:
        """Raises MatrixError: the server's own, to be passed on verbatim."""
        try:
            answer = await self._remote.post(server, "/_matrix/policy/v1/sign", pdu)
        except MatrixError as error:
            answered = error.__cause__
            if isinstance(answered, AnsweredError) and answered.status == TOO_MANY:
                raise MatrixError(TOO_MANY, answered.errcode, answered.error, _how_long(answered)) from error
            raise
        if not isinstance(answer, dict):
            raise forbidden(f"The policy server {server} did not sign the event")
        return answer


def _how_long(answered: AnsweredError) -> dict[str, int]:
    """How long a client is to wait: by the body or, where that does not tell, by the header."""
    told = answered.body.get("retry_after_ms")
    if type(told) is int and 0 <= told <= MAXIMUM_WAIT_MS:
        return {"retry_after_ms": told}
    if answered.retry_after_s is None:
        return {}
    return {"retry_after_ms": min(round(answered.retry_after_s * 1000), MAXIMUM_WAIT_MS)}
