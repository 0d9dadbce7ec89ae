"""Asks another server on behalf of a client: within a client's time, and with failures as a client is told of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hs_common.federation.client import QUICK, FederationClient
from hs_common.federation.failures import FederationError
from hs_common.matrix.canonical_json import check, encode
from hs_common.matrix.errors import MatrixError, not_found, unknown


class Asking:
    """Gets JSON objects."""

    def __init__(self, federation: FederationClient) -> None:
        self._federation = federation

    async def get(self, server: str, path: str, query: Mapping[str, str | Sequence[str]] | None = None) -> Any:
        """The JSON object that a server answers. Raises MatrixError."""
        return await self._ask(server, "GET", path, query, None)

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """The same of a POST."""
        return await self._ask(server, "POST", path, None, encode(body))

    async def _ask(
        self,
        server: str,
        method: str,
        path: str,
        query: Mapping[str, str | Sequence[str]] | None,
        body: bytes | None,
    ) -> Any:
        if not self._federation.domains.may_talk(server):
            raise not_found(f"The server {server} cannot be asked")
        try:
            answer = await self._federation.json(server, method, path, query, body, QUICK)
        except FederationError as error:
            raise error.for_client() from error
        try:
            check(answer, refuse_nul=True)
        except MatrixError as error:
            raise bad_answer(server) from error
        if not isinstance(answer, dict):
            raise bad_answer(server)
        return answer


def bad_answer(server: str) -> MatrixError:
    """The server's answer is not what the specification says."""
    return unknown(f"The server {server} gave a bad answer", status=502)
