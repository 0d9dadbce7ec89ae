"""From an access token's digest to the one who calls.

Rules: a *yes* may come from memory, as long as the log is followed closely enough to hear of revocations; a *no* comes
from the truth. What was read while a revocation came in is not kept. Application services are asked for first, since
their tokens are in their registrations.

Not known here: which endpoint is called; whether this user may is admission's question.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hs_common.http.request import Query, Requester
from hs_common.matrix.errors import unknown_token
from hs_common.storage.authentication import account_of_token
from hs_common.storage.queries import Queries

REMEMBERED_TOKENS_LIMIT: Final = 20_000
"""About 10 MiB. More sessions than this are rarely active on one worker within the hours that an entry stays useful."""


class AppServices(Protocol):
    """The registered application services, as far as authentication asks."""

    async def requester(self, token_hash: bytes, query: Query) -> Requester | None:
        """Who calls with an application service's token: its own user, or the one whom `?user_id=` (and
        `?device_id=`) names. None: the token is no service's. 403 `M_FORBIDDEN` for a user that is not the service's.

        https://spec.matrix.org/v1.19/application-service-api/#identity-assertion
        """


class NoAppServices:
    """A server without application services."""

    async def requester(self, token_hash: bytes, query: Query) -> Requester | None:
        """Nobody's token is a service's."""
        return None


@dataclass(frozen=True, slots=True)
class _Session:
    requester: Requester
    expires_at_ms: int | None


class Authenticator:
    """Knows tokens. Whoever follows the log tells it of revocations and of changes of accounts.

    `is_fresh` says whether the log has been heard of lately (a beat in the last 5 s); while it has not, a token may
    have been revoked without our knowing, and everything is asked for again. `now_ms` is the time of day.
    """

    def __init__(
        self,
        db: Queries,
        now_ms: Callable[[], int],
        is_fresh: Callable[[], bool],
        app_services: AppServices | None = None,
        remembered_limit: int = REMEMBERED_TOKENS_LIMIT,
    ) -> None:
        self._db = db
        self._now_ms = now_ms
        self._is_fresh = is_fresh
        self._app_services = app_services or NoAppServices()
        self._remembered_limit = remembered_limit
        self._sessions: dict[bytes, _Session] = {}
        self._hashes_of_user: dict[str, set[bytes]] = {}
        self._revocations = 0
        self.on_expiring_token: Callable[[bytes], None] = lambda token_hash: None
        """Told of each token that was read and does not live for ever: its use may confirm a refresh."""

    async def requester(
        self, token_hash: bytes, query: Query, before_reading: Callable[[], None] = lambda: None
    ) -> Requester:
        """Who calls. 401 `M_UNKNOWN_TOKEN`, with `soft_logout` if the token has merely expired. `before_reading` is
        called before the database is asked, and may raise."""
        session = self._session(token_hash)
        if session is None:
            service_user = await self._app_services.requester(token_hash, query)
            if service_user is not None:
                return service_user
            before_reading()
            session = await self._read(token_hash)
        if session.expires_at_ms is not None and session.expires_at_ms <= self._now_ms():
            raise unknown_token(soft_logout=True)
        return session.requester

    def remembered(self, token_hash: bytes) -> Requester | None:
        """Who calls, if that is in memory and the token has not expired."""
        session = self._session(token_hash)
        if session is None or (session.expires_at_ms is not None and session.expires_at_ms <= self._now_ms()):
            return None
        return session.requester

    def _session(self, token_hash: bytes) -> _Session | None:
        return self._sessions.get(token_hash) if self._is_fresh() else None

    async def service_requester(self, token_hash: bytes) -> Requester | None:
        """The service's own user, if the token is an application service's; None for all other tokens, good or not.

        Whom it acts as is not looked at: bridges already name the user that they are about to register.
        """
        return await self._app_services.requester(token_hash, Query())

    async def _read(self, token_hash: bytes) -> _Session:
        revocations = self._revocations
        row = await account_of_token(self._db, token_hash)
        if row is None:
            raise unknown_token()
        user_id, device_id, expires_at_ms, is_guest, admin, locked, suspended, deactivated, appservice_id = row[:9]
        consent, opened_by = row[9:]
        if deactivated:
            raise unknown_token()
        if expires_at_ms is not None:
            self.on_expiring_token(token_hash)
        requester = Requester(
            user_id=user_id,
            device_id=device_id,
            token_hash=token_hash,
            is_guest=is_guest,
            app_service_id=appservice_id,
            locked=locked,
            suspended=suspended,
            # Who acts as another administrator has not become two.
            admin=admin and opened_by is None,
            consent=consent,
            opened_by=opened_by,
        )
        session = _Session(requester, expires_at_ms)
        # A revocation that arrived meanwhile may be of this token, and newer than what the query saw.
        if revocations == self._revocations and self._is_fresh():
            self._remember(token_hash, session)
        return session

    def _remember(self, token_hash: bytes, session: _Session) -> None:
        if len(self._sessions) >= self._remembered_limit:
            # The oldest goes; that it may be in use costs one query.
            self._drop(next(iter(self._sessions)))
        self._sessions[token_hash] = session
        for user_id in _depends_on(session.requester):
            self._hashes_of_user.setdefault(user_id, set()).add(token_hash)

    def _drop(self, token_hash: bytes) -> None:
        session = self._sessions.pop(token_hash, None)
        if session is not None:
            for user_id in _depends_on(session.requester):
                hashes = self._hashes_of_user[user_id]
                hashes.discard(token_hash)
                if not hashes:
                    del self._hashes_of_user[user_id]

    def forget_token(self, token_hash: bytes) -> None:
        """The token was revoked or its expiry changed."""
        self._revocations += 1
        self._drop(token_hash)

    def forget_user(self, user_id: str) -> None:
        """The account was locked, suspended, deactivated, made an administrator, or otherwise changed."""
        self._revocations += 1
        for token_hash in list(self._hashes_of_user.get(user_id, ())):
            self._drop(token_hash)

    def void(self) -> None:
        """Part of the log was skipped or lost: nothing that is remembered can be relied on."""
        self._revocations += 1
        self._sessions.clear()
        self._hashes_of_user.clear()

    def entries(self) -> int:
        """How many tokens are remembered."""
        return len(self._sessions)


def _depends_on(requester: Requester) -> tuple[str, ...]:
    """Whose accounts decide whether the token is good."""
    return (requester.user_id,) if requester.opened_by is None else (requester.user_id, requester.opened_by)
