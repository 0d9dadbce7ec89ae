"""Who a token belongs to, asked of a real database."""

from hs_common.http.authentication import Authenticator
from hs_common.http.request import Query
from hs_common.storage.authentication import account_of_token
from hs_common.storage.database import Database
from tests.reactor import reactor, run

USER = "INSERT INTO users (user_id, created_ts, pos, admin, suspended) VALUES (%s, 0, 1, true, true)"
TOKEN = "INSERT INTO access_tokens (token_hash, user_id, device_id, expires_at_ms, pos) VALUES (%s, %s, %s, %s, 1)"


def test_the_account_and_device_of_a_token(database_url: str) -> None:
    async def play() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        await db.execute(USER, ("@alice:a",))
        await db.execute(TOKEN, (b"\x00\xffhash", "@alice:a", "D", 1 << 40))
        row = await account_of_token(db, b"\x00\xffhash")
        assert row == ("@alice:a", "D", 1 << 40, False, True, False, True, False, None, None, None)
        assert await account_of_token(db, b"other") is None
        requester = await Authenticator(db, lambda: 0, lambda: True).requester(b"\x00\xffhash", Query())
        assert (requester.user_id, requester.admin, requester.suspended) == ("@alice:a", True, True)
        await db.close()

    run(play())
