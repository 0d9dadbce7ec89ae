"""What a client asks of /sync."""

from hs_common.http.relay import ANSWER_TIMEOUT_S
from hs_common.http.request import Query
from hs_workers.sync.parameters import parse


def test_no_wait_is_longer_than_a_forwarded_request_may_take() -> None:
    longest = parse(Query(b"since=s1_0_0-0&timeout=9999999999999999"))
    assert longest.waits
    assert longest.timeout_s < ANSWER_TIMEOUT_S
    assert parse(Query(b"timeout=1500")).timeout_s == 1.5
