"""A yes may come from memory, a no comes from the truth."""

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from hs_common.http.authentication import Authenticator
from hs_common.http.credentials import hash_token
from hs_common.http.request import Query, Requester
from hs_common.matrix.errors import MatrixError
from hs_common.storage.queries import Arguments, DatabaseUnavailable, Row
from tests.common.http.accounts import Accounts
from tests.reactor import run

ABC = hash_token("abc")


class World:
    """An authenticator with its clock and its freshness at hand."""

    def __init__(self, accounts: Accounts | None = None, remembered_limit: int = 100) -> None:
        self.accounts = accounts or Accounts()
        self.now_ms = 1000
        self.fresh = True
        self.authenticator = Authenticator(
            self.accounts, lambda: self.now_ms, lambda: self.fresh, remembered_limit=remembered_limit
        )

    def ask(self, token: str = "abc") -> Requester:
        return run(self.authenticator.requester(hash_token(token), Query()))

    def refused(self, token: str = "abc") -> MatrixError:
        with pytest.raises(MatrixError) as caught:
            self.ask(token)
        return caught.value


def test_a_known_token_is_asked_for_once() -> None:
    world = World()
    world.accounts.add("abc", "@alice:a", "D", admin=True, suspended=True)
    assert world.ask() == Requester("@alice:a", "D", ABC, admin=True, suspended=True)
    world.ask()
    assert world.accounts.asked == 1


def test_an_unknown_token_is_asked_for_each_time_and_works_as_soon_as_it_exists() -> None:
    world = World()
    assert world.refused().errcode == "M_UNKNOWN_TOKEN"
    assert world.refused().fields["soft_logout"] is False
    assert world.accounts.asked == 2
    world.accounts.add("abc", "@alice:a")
    assert world.ask().user_id == "@alice:a"


def test_an_expired_token_asks_for_a_refresh() -> None:
    world = World()
    world.accounts.add("abc", expires_at_ms=1500)
    world.ask()
    world.now_ms = 1500
    error = world.refused()
    assert (error.status, error.errcode, error.fields["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)


def test_tokens_of_a_deactivated_account_are_unknown() -> None:
    world = World()
    world.accounts.add("abc", deactivated=True)
    assert world.refused().fields["soft_logout"] is False


def test_a_revoked_token_ends_at_once() -> None:
    world = World()
    world.accounts.add("abc")
    world.ask()
    world.accounts.rows.clear()
    world.authenticator.forget_token(ABC)
    assert world.refused().errcode == "M_UNKNOWN_TOKEN"


def test_a_changed_account_is_read_again_on_all_its_devices_and_no_other() -> None:
    world = World()
    for token, user_id in (("abc", "@alice:a"), ("def", "@alice:a"), ("xyz", "@bob:a")):
        world.accounts.add(token, user_id)
        world.ask(token)
    world.authenticator.forget_user("@alice:a")
    world.authenticator.forget_user("@nobody:a")
    for token in ("abc", "def"):
        world.accounts.add(token, "@alice:a", locked=True)
        assert world.ask(token).locked
    world.ask("xyz")
    assert world.accounts.asked == 5


def test_who_acts_as_another_is_asked_for_again_when_either_account_changes() -> None:
    world = World()
    world.accounts.add("abc", "@alice:a", opened_by="@root:a", admin=True)
    assert world.ask() == Requester("@alice:a", "DEVICE", ABC, opened_by="@root:a")
    for number, changed in enumerate(("@root:a", "@alice:a"), start=1):
        world.authenticator.forget_user(changed)
        world.ask()
        assert world.accounts.asked == 1 + number
    world.authenticator.forget_token(ABC)
    assert world.authenticator.entries() == 0


def test_while_the_log_is_silent_nothing_is_believed_from_memory() -> None:
    world = World()
    world.accounts.add("abc")
    world.ask()
    world.fresh = False
    world.ask()
    world.ask()
    assert world.accounts.asked == 3
    world.fresh = True
    world.ask()
    assert world.accounts.asked == 3


def test_void_drops_everything() -> None:
    world = World()
    world.accounts.add("abc")
    world.ask()
    world.authenticator.void()
    assert world.authenticator.entries() == 0
    world.ask()
    assert world.accounts.asked == 2


def test_memory_is_bounded() -> None:
    world = World(remembered_limit=3)
    for number in range(10):
        world.accounts.add(f"token{number}", f"@user{number}:a")
        world.ask(f"token{number}")
    assert world.authenticator.entries() == 3
    world.ask("token9")
    assert world.accounts.asked == 10


def test_a_database_that_is_away_is_no_unknown_token() -> None:
    world = World()
    world.accounts.failure = DatabaseUnavailable("08006", "gone")
    with pytest.raises(DatabaseUnavailable):
        world.ask()


class SlowAccounts(Accounts):
    """Answers when told to, with what was true when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Deferred[None] = Deferred()

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        row = await super().fetch_one(sql, args)
        await self.answer
        return row


@pytest.mark.parametrize("revoke", ["forget_token", "forget_user", "void"])
def test_what_was_read_while_it_was_revoked_is_not_kept(revoke: str) -> None:
    accounts = SlowAccounts()
    accounts.add("abc", "@alice:a")
    world = World(accounts)
    asking: list[Requester] = []
    ensureDeferred(world.authenticator.requester(ABC, Query())).addCallback(asking.append)
    arguments = {"forget_token": (ABC,), "forget_user": ("@alice:a",), "void": ()}[revoke]
    getattr(world.authenticator, revoke)(*arguments)
    accounts.answer.callback(None)
    assert [requester.user_id for requester in asking] == ["@alice:a"]
    assert world.authenticator.entries() == 0


def test_application_services_are_asked_first() -> None:
    bridge = Requester("@bridge:a", None, ABC, app_service_id="irc")

    class OneService:
        async def requester(self, token_hash: bytes, query: Query) -> Requester | None:
            return bridge if token_hash == ABC and query.string("user_id", None) == "@bridge:a" else None

    accounts = Accounts()
    authenticator = Authenticator(accounts, lambda: 0, lambda: True, OneService())
    assert run(authenticator.requester(ABC, Query(b"user_id=@bridge:a"))) is bridge
    assert accounts.asked == 0
