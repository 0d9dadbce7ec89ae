"""One gate, one bucket per class and requester."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.config.rate_limits import Bucket
from hs_common.config.rate_limits import RateLimits as RateLimitsConfig
from hs_common.http.endpoint import Rate
from hs_common.http.rate_limits import RateLimits, buckets_of
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError
from tests.common.http.refusals import refusal

ALICE = Requester("@alice:a", "D", b"")
BOB = Requester("@bob:a", "D", b"")


class Gate:
    """Limits of 2 a second with a burst of 3, and a clock that is moved by hand."""

    def __init__(self, buckets_limit: int = 1000) -> None:
        self.now = 100.0
        bucket = Bucket(per_second=2, burst=3)
        self.limits = RateLimits(
            {Rate.MESSAGE: bucket, Rate.LOGIN: bucket, Rate.LOGIN_FAILURE: bucket},
            lambda: self.now,
            is_exempt=lambda requester: requester.app_service_id is not None,
            buckets_limit=buckets_limit,
        )

    def passes(self, rate: Rate = Rate.MESSAGE, who: Requester | None = ALICE, client_ip: str = "192.0.2.1") -> bool:
        error = refusal(lambda: self.limits.check(rate, who, client_ip))
        if error is None:
            return True
        assert (error.status, error.errcode) == (429, "M_LIMIT_EXCEEDED")
        assert error.fields["retry_after_ms"]
        return False


def test_a_burst_and_then_a_steady_rate() -> None:
    gate = Gate()
    assert [gate.passes() for _ in range(5)] == [True, True, True, False, False]
    gate.now += 0.5
    assert [gate.passes() for _ in range(2)] == [True, False]
    gate.now += 60
    assert [gate.passes() for _ in range(4)] == [True, True, True, False]


def test_the_answer_says_when_to_come_back() -> None:
    gate = Gate()
    while gate.passes():
        pass
    with pytest.raises(MatrixError) as caught:
        gate.limits.check(Rate.MESSAGE, ALICE, "")
    retry_after_ms = caught.value.fields["retry_after_ms"]
    assert retry_after_ms == 500
    gate.now += 0.499
    assert not gate.passes()
    gate.now += 0.001
    assert gate.passes()


@given(st.lists(st.floats(0, 3), max_size=60))
def test_never_more_than_burst_and_rate_allow(pauses: list[float]) -> None:
    gate = Gate()
    passed = 0
    for pause in pauses:
        gate.now += pause
        passed += gate.passes()
    assert passed <= 3 + 2 * sum(pauses) + 1e-3
    gate.now += 10
    assert gate.passes()


def test_users_and_classes_do_not_share_buckets() -> None:
    gate = Gate()
    while gate.passes():
        pass
    assert gate.passes(who=BOB)
    assert gate.passes(Rate.LOGIN)


def test_without_a_user_the_address_counts_and_for_ipv6_its_network() -> None:
    gate = Gate()
    while gate.passes(Rate.LOGIN, None, "2001:db8::1"):
        pass
    assert not gate.passes(Rate.LOGIN, None, "2001:db8::ffff")
    assert gate.passes(Rate.LOGIN, None, "2001:db8:0:1::1")
    assert gate.passes(Rate.LOGIN, None, "192.0.2.1")
    assert gate.passes(Rate.LOGIN, None, "a unix socket")


def test_a_user_is_limited_wherever_they_come_from() -> None:
    gate = Gate()
    assert [gate.passes(client_ip=f"192.0.2.{number}") for number in range(4)] == [True, True, True, False]


def test_exempt_requesters_and_unlimited_classes_pass_always() -> None:
    gate = Gate()
    bridge = Requester("@bridge:a", None, b"", app_service_id="irc")
    assert all(gate.passes(who=bridge) for _ in range(20))
    assert all(gate.passes(Rate.NONE) for _ in range(20))
    assert all(gate.passes(Rate.DEFAULT) for _ in range(20))
    assert gate.limits.entries() == 0


def test_login_failures_of_an_account_are_counted_apart() -> None:
    gate = Gate()
    for _ in range(3):
        gate.limits.check_login_failures("@alice:a")
        gate.limits.login_failed("@alice:a")
    with pytest.raises(MatrixError, match=r"^429"):
        gate.limits.check_login_failures("@alice:a")
    with pytest.raises(MatrixError, match=r"^429"):
        gate.limits.login_failed("@alice:a")
    gate.limits.check_login_failures("@bob:a")
    gate.now += 0.5
    gate.limits.check_login_failures("@alice:a")


def test_unknown_tokens_of_an_address_are_counted_apart() -> None:
    limits = RateLimits({Rate.UNKNOWN_TOKEN: Bucket(per_second=2, burst=1)}, lambda: 5.0)
    limits.check_unknown_tokens("2001:db8::1")
    limits.token_unknown("2001:db8::1")
    with pytest.raises(MatrixError, match=r"^429"):
        limits.check_unknown_tokens("2001:db8::2")
    limits.check_unknown_tokens("192.0.2.1")
    limits.check(Rate.MESSAGE, None, "2001:db8::1")


def test_memory_is_bounded_and_the_idlest_go_first() -> None:
    gate = Gate(buckets_limit=10)
    while gate.passes(who=BOB):
        pass
    for number in range(50):
        gate.passes(Rate.LOGIN, None, f"192.0.2.{number}")
        assert not gate.passes(who=BOB) or number >= 9
    assert gate.limits.entries() <= 10


def test_the_configuration_has_a_bucket_for_each_class() -> None:
    buckets = buckets_of(RateLimitsConfig())
    assert set(buckets) == set(Rate) - {Rate.NONE}
    assert buckets_of(msgspec.structs.replace(RateLimitsConfig(), disabled=True)) == {}
