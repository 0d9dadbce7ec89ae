"""Asks for the keys of servers: themselves first, then notaries.

Rules: what is told is believed only if the server's own key signed it; a notary's word needs the notary's signature
too. Everything that was told is kept in the database, also for other workers. Nothing is remembered here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from hs_common.federation.client import QUICK, FederationClient
from hs_common.federation.failures import FederationError
from hs_common.matrix.canonical_json import check, encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.server_keys import BadServerKeys, ServerKey, parse_server_keys
from hs_common.matrix.signing import SignatureError, verify
from hs_common.storage import server_keys
from hs_common.storage.queries import Queries
from hs_common.storage.server_keys import KeptKey

ANSWERS_LIMIT: Final = 100
"""Answers of a notary that are looked at; it is asked for one server at a time."""

_log = Logger()


class KeyFetcher:
    """`now_ms` is the time of day."""

    def __init__(
        self, client: FederationClient, db: Queries, notaries: Sequence[str], now_ms: Callable[[], int]
    ) -> None:
        self._client = client
        self._db = db
        self._notaries = [notary for notary in notaries if client.domains.may_talk(notary)]
        self._now_ms = now_ms

    async def from_server(self, server: str) -> dict[str, ServerKey]:
        """What a server says of itself now; empty if it says nothing that can be believed."""
        try:
            answer = await self._client.get(server, "/_matrix/key/v2/server", limits=QUICK)
            return await self._keep([(server, answer)])
        except (FederationError, BadServerKeys) as error:
            _log.info("keys of {server} cannot be fetched: {error}", server=server, error=error)
            return {}

    async def from_notaries(
        self, server: str, key_ids: Sequence[str], valid_until_ms: int, keys_of: Mapping[str, Mapping[str, ServerKey]]
    ) -> dict[str, ServerKey]:
        """What the notaries say of a server. `keys_of` are those of the notaries themselves."""
        criteria = {key_id: {"minimum_valid_until_ts": valid_until_ms} for key_id in key_ids}
        found: dict[str, ServerKey] = {}
        for notary in self._notaries:
            if notary == server or all(key_id in found for key_id in key_ids):
                continue
            try:
                answer = await self._client.post(
                    notary, "/_matrix/key/v2/query", {"server_keys": {server: criteria}}, limits=QUICK
                )
                found |= await self._keep(self._vouched(answer, notary, server, keys_of.get(notary, {})))
            except (FederationError, BadServerKeys) as error:
                _log.info("{notary} tells no keys of {server}: {error}", notary=notary, server=server, error=error)
        return found

    @property
    def notaries(self) -> Sequence[str]:
        """Who is asked about others."""
        return self._notaries

    def _vouched(
        self, answer: Any, notary: str, server: str, keys: Mapping[str, ServerKey]
    ) -> list[tuple[str, dict[str, Any]]]:
        """The answers about the server that the notary has signed."""
        told = answer.get("server_keys") if isinstance(answer, dict) else None
        vouched = []
        for one in told[:ANSWERS_LIMIT] if isinstance(told, list) else ():
            if not isinstance(one, dict) or one.get("server_name") != server:
                continue
            try:
                verify(one, notary, {key_id: key.key for key_id, key in keys.items() if not key.is_old})
            except SignatureError as error:
                raise BadServerKeys(str(error)) from error
            vouched.append((server, one))
        return vouched

    async def _keep(self, answers: Sequence[tuple[str, Any]]) -> dict[str, ServerKey]:
        now = self._now_ms()
        found: dict[str, ServerKey] = {}
        rows: dict[str, KeptKey] = {}
        for server, answer in answers:
            keys = parse_server_keys(answer, server, now)
            encoded = _encoded(answer, server)
            for key in keys:
                found[key.key.key_id] = key
                rows[key.key.key_id] = KeptKey(
                    server, key.key.key_id, key.key.to_base64(), key.until_ms, key.is_old, now, encoded
                )
        if rows:
            await server_keys.keep(self._db, list(rows.values()))
        return found


def _encoded(answer: dict[str, Any], server: str) -> bytes:
    """The answer with the server's own signatures alone, as it is given out again."""
    own = {**answer, "signatures": {server: answer["signatures"][server]}}
    own.pop("unsigned", None)
    try:
        check(own, refuse_nul=True)
    except MatrixError as error:
        raise BadServerKeys(error.error) from error
    return encode(own)
