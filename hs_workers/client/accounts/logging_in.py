"""Logging in: from a password or a login token to a session.

Spec: client-server API, #legacy-login.
"""

from collections.abc import Callable
from typing import Any

from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import forbidden
from hs_common.replication.calls import OpenSession
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.sessions import add_login_token, delete_expired_login_tokens, take_login_token
from hs_common.storage.users import Account, account
from hs_workers.client.accounts.account_states import check_usable
from hs_workers.client.accounts.passwords import Passwords
from hs_workers.client.accounts.tokens import LOGIN_PREFIX, DeviceWish, Tokens
from hs_workers.client.accounts.user_identifiers import wrong_credentials


class LoginTokens:
    """Tokens with which a client that is logged in lets another one in. Each is good once, for a short time."""

    def __init__(self, db: Queries, tokens: Tokens, lifetime_ms: int, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._tokens = tokens
        self._lifetime_ms = lifetime_ms
        self._now_ms = now_ms

    async def new(self, user_id: str) -> dict[str, Any]:
        """The token and how long it is good, as the client is told."""
        now_ms = self._now_ms()
        await delete_expired_login_tokens(self._db, now_ms)
        token = self._tokens.new(LOGIN_PREFIX)
        await add_login_token(self._db, hash_token(token), user_id, now_ms + self._lifetime_ms)
        return {"login_token": token, "expires_in_ms": self._lifetime_ms}

    async def take(self, token: str) -> Account:
        """Whom the token lets in. 403 `M_FORBIDDEN` if it is not good (any more)."""
        user_id = await take_login_token(self._db, hash_token(token), self._now_ms())
        found = None if user_id is None else await account(self._db, user_id)
        if found is None:
            raise forbidden("Invalid login token")
        return found


class LoggingIn:
    """Opens sessions. `well_known` is what clients are told to reconfigure themselves by, if anything."""

    def __init__(
        self,
        master: Link,
        passwords: Passwords,
        login_tokens: LoginTokens,
        tokens: Tokens,
        well_known: dict[str, Any] | None,
    ) -> None:
        self._master = master
        self._passwords = passwords
        self._login_tokens = login_tokens
        self._tokens = tokens
        self._well_known = well_known

    async def with_password(self, user_id: str, password: str, wish: DeviceWish) -> dict[str, Any]:
        """403 `M_FORBIDDEN` for a wrong name or password, else as `check_usable`."""
        found = await self._passwords.opened(user_id, password)
        if found is None:
            raise wrong_credentials()
        return await self._open(found, wish)

    async def with_token(self, token: str, wish: DeviceWish) -> dict[str, Any]:
        """403 `M_FORBIDDEN` for a token that is not good, else as `check_usable`."""
        return await self._open(await self._login_tokens.take(token), wish)

    async def as_service(self, user_id: str, wish: DeviceWish) -> dict[str, Any]:
        """A session of a user whom an application service controls. 403 `M_FORBIDDEN` if there is none."""
        return await self._session(user_id, wish)

    async def _open(self, found: Account, wish: DeviceWish) -> dict[str, Any]:
        check_usable(found)
        return await self._session(found.user_id, wish)

    async def _session(self, user_id: str, wish: DeviceWish) -> dict[str, Any]:
        opened = self._tokens.session(wish)
        await self._master.call(OpenSession(user_id=user_id, session=opened.session))
        answer = {"user_id": user_id, **opened.answer}
        return answer if self._well_known is None else {**answer, "well_known": self._well_known}
