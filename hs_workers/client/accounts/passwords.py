"""Checking and changing passwords.

Rules: every check costs one hash, whatever the account; wrong ones are counted per account. A password is hashed anew
when the configured cost has changed. Hashes and passwords go nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hs_common.matrix.errors import MatrixError, invalid_param
from hs_common.process.password_hasher import PasswordHasher
from hs_common.replication.calls import SetPassword
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_common.storage.users import Account, accounts

MAXIMUM_PASSWORD_BYTES: Final = 512
"""No password is longer; it bounds the work for a hash and what a body makes us keep."""


class FailureLimits(Protocol):
    """Counts wrong passwords per account; both methods raise 429 `M_LIMIT_EXCEEDED`."""

    def check_login_failures(self, account: str) -> None:
        """Before a password is looked at."""

    def login_failed(self, account: str) -> None:
        """It was wrong."""


_NEEDS: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    "lowercase": ("a lower-case letter", str.islower),
    "uppercase": ("an upper-case letter", str.isupper),
    "digit": ("a digit", str.isdigit),
    "symbol": ("a symbol", lambda character: not character.isalnum()),
}


class PasswordRules:
    """Which passwords are accepted for new use. `needs` are kinds of characters, by their names in the config."""

    def __init__(self, minimum_length: int, needs: Sequence[str] = ()) -> None:
        self._minimum_length = minimum_length
        self._needs = [_NEEDS[name] for name in needs]

    def check(self, password: str) -> None:
        """400 `M_WEAK_PASSWORD` or `M_INVALID_PARAM`.

        https://spec.matrix.org/v1.19/client-server-api/#password-management
        """
        if len(password) < self._minimum_length:
            raise MatrixError(400, "M_WEAK_PASSWORD", f"A password has at least {self._minimum_length} characters")
        for words, is_one in self._needs:
            if not any(map(is_one, password)):
                raise MatrixError(400, "M_WEAK_PASSWORD", f"A password has at least {words}")
        self.check_length(password)

    def check_length(self, password: str) -> None:
        """400 `M_INVALID_PARAM` for what is too long for anybody."""
        if len(password.encode()) > MAXIMUM_PASSWORD_BYTES:
            raise invalid_param(f"A password has at most {MAXIMUM_PASSWORD_BYTES} bytes")


class Passwords:
    """Knows whether a password opens an account."""

    def __init__(self, db: Queries, master: Link, hasher: PasswordHasher, failures: FailureLimits) -> None:
        self._db = db
        self._master = master
        self._hasher = hasher
        self._failures = failures

    async def opened(self, user_id: str, password: str) -> Account | None:
        """The account that the password opens: of this user id, or of it in lower case. None if it opens none.

        A deactivated account, which has no password any more, is answered as it is: the caller says so to its client.
        """
        self._failures.check_login_failures(user_id.lower())
        found = await accounts(self._db, list({user_id, user_id.lower()}))
        account = found.get(user_id) or found.get(user_id.lower())
        kept = account.password_hash if account is not None else None
        is_right = len(password.encode()) <= MAXIMUM_PASSWORD_BYTES and await self._hasher.matches(password, kept)
        if account is not None and account.deactivated:
            return account
        if account is None or not is_right:
            self._failures.login_failed(user_id.lower())
            return None
        if kept is not None and self._hasher.is_outdated(kept):
            await self.set(account.user_id, password)
        return account

    async def set(self, user_id: str, password: str) -> None:
        """Replaces the password."""
        password_hash = await self._hasher.hash(password)
        await self._master.call(SetPassword(user_id=user_id, password_hash=password_hash))
