"""Shares of a duty on a real PostgreSQL: taken, renewed, handed over, lost by who stands still; time is passed in."""

from collections.abc import Collection

from twisted.internet.task import Clock

from hs_common.process.shares import SHARDS, ShareKeeper, Timing, chosen, shard_of
from hs_common.storage import shares
from hs_common.storage.database import Database
from tests.reactor import reactor, run

DUTY = "appservice"
ONE, TWO = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
TIMING = Timing()


class Members:
    """Keepers over one database and one clock, which look when the test says so."""

    def __init__(self, database_url: str) -> None:
        self.db = Database(database_url, reactor, lambda: 0.5)
        self.clock = Clock()
        self.living: list[str] = []
        self.given: list[int] = []

    def join(self, member: str, living: list[str] | None = None) -> ShareKeeper:
        """`living`: whom it sees, if that is not what all see."""
        self.living.append(member)
        seen = self.living if living is None else living

        async def give_up(shards: Collection[int]) -> None:
            self.given += shards

        return ShareKeeper(self.db, self.clock, DUTY, member, lambda: seen, lambda: None, give_up)

    async def pass_time(self, seconds: float, *keepers: ShareKeeper) -> None:
        """The keepers look each second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            for keeper in keepers:
                await keeper.look()


def test_one_member_holds_all_and_two_about_half_each(database_url: str) -> None:
    async def play() -> None:
        members = Members(database_url)
        one = members.join(ONE)
        await one.look()
        assert len(one.held) == SHARDS
        two = members.join(TWO)
        await members.pass_time(TIMING.steady_s + 2, one, two)
        assert set(one.held) | set(two.held) == set(range(SHARDS))
        assert not set(one.held) & set(two.held)
        assert 96 < len(one.held) < 160
        assert sorted(members.given) == sorted(two.held)
        assert set(two.held.values()) == {2}
        await members.db.close()

    run(play())


def test_shares_of_who_stands_still_are_taken_with_a_new_term(database_url: str) -> None:
    async def play() -> None:
        members = Members(database_url)
        one = members.join(ONE)
        await one.look()
        members.living.clear()
        two = members.join(TWO)
        await members.pass_time(TIMING.expires_s - 1, two)
        assert two.held == {}
        await members.pass_time(3, two)
        assert set(two.held.values()) == {2}
        assert not one.may_start()  # it had stopped starting anything long before
        await one.look()
        assert one.held == {}
        await members.db.close()

    run(play())


def test_a_member_that_renews_keeps_its_shares(database_url: str) -> None:
    async def play() -> None:
        members = Members(database_url)
        one, two = members.join(ONE, [ONE]), members.join(TWO, [TWO])
        await members.pass_time(3 * TIMING.expires_s, one, two)
        assert len(one.held) == SHARDS
        assert one.may_start()
        assert two.held == {}
        await members.db.close()

    run(play())


def test_who_stops_lets_go_at_once(database_url: str) -> None:
    async def play() -> None:
        members = Members(database_url)
        one = members.join(ONE)
        await one.look()
        await one.stop()
        assert sorted(members.given) == list(range(SHARDS))
        members.living.clear()
        two = members.join(TWO)
        await two.look()
        assert len(two.held) == SHARDS
        await members.db.close()

    run(play())


def test_of_two_who_saw_the_same_only_one_takes(database_url: str) -> None:
    async def play() -> None:
        members = Members(database_url)
        seen = (await shares.shares(members.db, DUTY))[:4]
        assert await shares.take(members.db, DUTY, ONE, seen) == {0: 1, 1: 1, 2: 1, 3: 1}
        assert await shares.take(members.db, DUTY, TWO, seen) == {}
        await members.db.close()

    run(play())


def test_the_choice_is_stable_and_moves_little() -> None:
    members = [f"member {number}" for number in range(8)]
    before = {shard: chosen(shard, members) for shard in range(SHARDS)}
    after = {shard: chosen(shard, members[1:]) for shard in range(SHARDS)}
    assert {shard for shard in before if before[shard] != after[shard]} == {
        shard for shard in before if before[shard] == "member 0"
    }
    assert chosen(3, []) is None
    assert [shard_of(name) for name in ("irc", "telegram")] == [shard_of(name) for name in ("irc", "telegram")]
    assert {shard_of(str(number)) for number in range(5_000)} == set(range(SHARDS))
