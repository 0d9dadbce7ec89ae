"""Addresses as the leader's row names them."""

import pytest

from hs_common.replication.dial import split_address


def test_addresses() -> None:
    assert split_address("host:1") == ("host", 1)
    assert split_address("[::1]:22") == ("::1", 22)
    for wrong in ("host", ":1", "host:x"):
        with pytest.raises(ValueError, match=r"address|int"):
            split_address(wrong)
