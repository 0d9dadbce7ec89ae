"""What a server has cost for nothing is owed, paid off by time and by good events, and asked for in time only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.federation import accounts as prices
from hs_common.federation.accounts import ALLOWED_MS, KEPT, LONGEST_WAIT_S, PAID_OFF_MS_PER_S, Accounts
from hs_common.matrix.errors import MatrixError


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.accounts = Accounts(lambda: self.now)

    def wait_ms(self, server: str = "a.test") -> int:
        """For how long the server has to wait."""
        try:
            self.accounts.admit(server)
        except MatrixError as error:
            wait_ms = error.fields["retry_after_ms"]
            assert isinstance(wait_ms, int)
            return wait_ms
        return 0


def test_who_owes_too_much_waits_until_it_is_paid_off() -> None:
    world = World()
    world.accounts.charge("a.test", ALLOWED_MS)
    assert world.wait_ms() == 0
    world.accounts.charge("a.test", 100.0)
    assert world.wait_ms() == 5_000
    assert world.wait_ms("b.test") == 0, "another server's debt is its own"
    world.now += 4.0
    assert world.wait_ms() == 1_000
    world.now += 1.0
    assert world.wait_ms() == 0


def test_nobody_waits_longer_than_a_minute() -> None:
    world = World()
    for _ in range(100):
        world.accounts.charge("a.test", ALLOWED_MS)
    assert world.wait_ms() == LONGEST_WAIT_S * 1_000
    world.now += LONGEST_WAIT_S
    assert world.wait_ms() == 0


def test_a_large_server_with_a_few_bad_users_is_never_kept_out() -> None:
    world = World()
    for _ in range(10_000):
        for _ in range(int(prices.SOFT_FAILED / prices.ACCEPTED_PAYS)):
            world.accounts.pay("a.test", prices.ACCEPTED_PAYS)
        world.accounts.charge("a.test", prices.SOFT_FAILED)
        assert world.wait_ms() == 0


def test_memory_is_bounded() -> None:
    world = World()
    for number in range(KEPT + 10):
        world.accounts.charge(f"s{number}.test", 1.0)
    assert len(world.accounts) == KEPT
    world.now += 3_600
    world.accounts.pay("s100.test", 1.0)
    assert len(world.accounts) == KEPT - 1, "who owes nothing is forgotten"


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 10))))
def test_what_is_let_through_is_bounded_by_time(steps: list[tuple[float, float]]) -> None:
    world = World()
    charged = 0.0
    for price, pause in steps:
        try:
            world.accounts.admit("a.test")
        except MatrixError:
            world.now += pause
            continue
        world.accounts.charge("a.test", price)
        charged += price
        world.now += pause
    assert charged <= ALLOWED_MS + 500 + PAID_OFF_MS_PER_S * world.now + 1e-6


def test_nothing_is_owed_for_nothing() -> None:
    world = World()
    world.accounts.pay("a.test", 5.0)
    assert len(world.accounts) == 0
    for _ in range(int(ALLOWED_MS / prices.SOFT_FAILED) + 2):
        world.accounts.charge("a.test", prices.SOFT_FAILED)
    with pytest.raises(MatrixError) as asked:
        world.accounts.admit("a.test")
    assert (asked.value.status, asked.value.errcode) == (429, "M_LIMIT_EXCEEDED")
