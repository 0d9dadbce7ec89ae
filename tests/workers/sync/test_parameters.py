"""What a client asks of /sync."""

from pathlib import Path

import pytest

from hs_common.config import Config, ConfigError
from hs_common.config import parse as parse_config
from hs_common.http.relay import ANSWER_TIMEOUT_S
from hs_common.http.request import Query
from hs_workers.sync.parameters import parse


def test_no_wait_is_longer_than_the_operator_wants() -> None:
    longest = parse(Query(b"since=s1_0_0-0&timeout=9999999999999999"), 60_000)
    assert longest.waits
    assert longest.timeout_s == 60
    assert parse(Query(b"timeout=1500"), 60_000).timeout_s == 1.5


def test_no_operator_may_want_more_than_a_forwarded_request_may_take() -> None:
    assert Config().limits.sync_timeout_ms / 1000 < ANSWER_TIMEOUT_S
    longest = int(ANSWER_TIMEOUT_S * 1000)
    with pytest.raises(ConfigError, match="sync_timeout_ms"):
        parse_config({"limits": {"sync_timeout_ms": longest}}, Path("/"), {})
