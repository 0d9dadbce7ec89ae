"""An administrator logs in as a user: bridges act so for who uses them, moderation tools for who cannot.

Not in the specification; path and form are those of Synapse's admin API. Rules: the token belongs to no device, so it
has no keys, shows among nobody's devices and ends none; it has no administrator's rights, and ends when who asked for
it is an administrator no more or logs out everywhere. Each is a line in the log.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from twisted.logger import Logger

from hs_common.http.credentials import hash_token
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.replication.link_interface import Link
from hs_common.replication.sign_on_calls import LogInAs
from hs_workers.client.accounts.administration import UserAdministration
from hs_workers.client.accounts.tokens import ACCESS_PREFIX, Tokens

LATEST_MS: Final = (1 << 53) - 1


class _Wish(msgspec.Struct):
    valid_until_ms: Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)] | None = None


class LoginAsUser:
    """`now_ms` is the time of day."""

    def __init__(self, users: UserAdministration, master: Link, tokens: Tokens, now_ms: Callable[[], int]) -> None:
        self._users = users
        self._master = master
        self._tokens = tokens
        self._now_ms = now_ms
        self._log = Logger()

    @endpoint("POST", "/_synapse/admin/v1/users/{userId}/login", auth=Auth.ADMIN, spec="Synapse's admin API, users")
    async def login(self, request: Request) -> Reply:
        """A token to act as the user with."""
        wish = request.body(_Wish, optional=True)
        admin_id, user_id = request.requester.user_id, self._users.check_local(request.path["userId"])
        if user_id == admin_id:
            raise invalid_param("You are this user: log in as everybody does")
        if wish.valid_until_ms is not None and wish.valid_until_ms <= self._now_ms():
            raise invalid_param("`valid_until_ms` is over: name a time to come, in milliseconds since 1970")
        token = self._tokens.new(ACCESS_PREFIX)
        call = LogInAs(
            admin_id=admin_id, user_id=user_id, token_hash=hash_token(token), expires_at_ms=wish.valid_until_ms
        )
        await self._master.call(call)
        self._log.info(
            "{admin_id} logs in as {user_id}, until {until}: request {request_id} of {client_ip}",
            admin_id=admin_id,
            user_id=user_id,
            until="logged out" if wish.valid_until_ms is None else wish.valid_until_ms,
            request_id=request.request_id,
            client_ip=request.client_ip,
        )
        return {"access_token": token}
