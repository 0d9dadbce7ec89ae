"""The first use of a refreshed access token ends what it replaced: until then a client may repeat the exchange.

Rules: the request that uses the token does not wait; what fails is tried again at a later use. A token is asked about
once a process, since a confirmed one stays so.

https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
"""

from typing import Final

from hs_common.bounded import Bounded
from hs_common.replication.calls import ConfirmRefresh
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.sessions import awaits_confirmation

REMEMBERED_LIMIT: Final = 20_000
"""Tokens that need not be asked about again, about 3 MiB; they live for an hour."""


class RefreshConfirmation:
    """Confirms refreshes, one token at a time."""

    def __init__(self, db: Queries, link: Link) -> None:
        self._db = db
        self._link = link
        self._settled = Bounded[bytes, None](REMEMBERED_LIMIT)

    def is_settled(self, token_hash: bytes) -> bool:
        """Whether there is nothing left to do for this token."""
        return token_hash in self._settled

    async def confirm(self, token_hash: bytes) -> None:
        """The token was used."""
        user_id = await awaits_confirmation(self._db, token_hash)
        if user_id is not None:
            await self._link.call(ConfirmRefresh(user_id=user_id, token_hash=token_hash))
        self._settled[token_hash] = None
