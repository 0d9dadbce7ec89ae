"""Asks policy servers for their signatures.

Spec: server-server API, #asking-for-a-policy-server-signature-on-an-event.
"""

from typing import Any, Final

from hs_common.federation.failures import AnsweredError
from hs_common.federation.interfaces import Remote
from hs_common.matrix.errors import MatrixError, forbidden

TOO_MANY: Final = 429


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
                raise MatrixError(TOO_MANY, answered.errcode, answered.error) from error  # the client can wait
            raise
        if not isinstance(answer, dict):
            raise forbidden(f"The policy server {server} did not sign the event")
        return answer
