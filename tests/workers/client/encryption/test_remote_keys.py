"""Keys of users elsewhere: how long their servers have."""

from typing import Any

import pytest

from hs_common.http.egress.connection import Limits
from hs_workers.client.encryption.remote_keys import LIMITS, RemoteKeys, limits_of
from tests.reactor import run


class Elsewhere:
    """Remembers what limits each request had."""

    def __init__(self) -> None:
        self.limits: list[Limits] = []

    async def post(self, destination: str, path: str, body: Any, limits: Limits) -> Any:
        self.limits.append(limits)
        return {}


@pytest.mark.parametrize(
    ("timeout_ms", "seconds"),
    [(None, 9.0), (10_000, 9.0), (1 << 70, 9.0), (9_000, 9.0), (2_500, 2.5), (0, 0.001), (-5, 0.001)],
)
def test_the_client_says_how_long_it_waits_up_to_our_limit(timeout_ms: int | None, seconds: float) -> None:
    elsewhere: Any = Elsewhere()
    remote = RemoteKeys(elsewhere)
    assert run(remote.query({"b.example": {"@bob:b.example": []}}, limits_of(timeout_ms)))[1] == {}
    assert run(remote.claim({"b.example": {"@bob:b.example": {"D": "x"}}}, timeout_ms))[1] == {}
    expected = Limits(seconds, seconds, LIMITS.body_bytes, hurried=seconds < LIMITS.total_s)
    assert elsewhere.limits == [expected, expected]
