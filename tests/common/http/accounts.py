"""Accounts and access tokens as the authenticator reads them, without a database."""

from hs_common.http.credentials import hash_token
from hs_common.storage.queries import Arguments, Row


class Accounts:
    """Answers the one query of authentication from a dict. `asked` counts how often."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.asked = 0
        self.failure: Exception | None = None

    def add(
        self,
        token: str,
        user_id: str = "@alice:example.org",
        device_id: str | None = "DEVICE",
        expires_at_ms: int | None = None,
        is_guest: bool = False,
        admin: bool = False,
        locked: bool = False,
        suspended: bool = False,
        deactivated: bool = False,
        opened_by: str | None = None,
    ) -> dict[str, str]:
        """Makes the token known; gives the header that carries it."""
        flags = (is_guest, admin, locked, suspended, deactivated, None, None, opened_by)
        self.rows[hash_token(token)] = (user_id, device_id, expires_at_ms, *flags)
        return {"Authorization": f"Bearer {token}"}

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        assert "access_tokens" in sql
        assert isinstance(args, tuple)
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.rows.get(args[0])

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        raise AssertionError("authentication reads one row")

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError("authentication writes nothing")
