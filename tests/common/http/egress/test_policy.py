"""Which addresses may be connected to."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis.strategies import integers

from hs_common.http.egress.policy import EgressPolicy

_FORBIDDEN = [
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9", "192.0.0.8"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1"),
    *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "::127.0.0.1", "100::1"),
    *("", "localhost", "1.2.3", "0x7f000001", "127.1", "2130706433"),
]
_PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", _FORBIDDEN)
def test_what_is_not_public_is_forbidden(address: str) -> None:
    assert not EgressPolicy().allows(address)


@pytest.mark.parametrize("address", _PUBLIC)
def test_what_is_public_is_allowed(address: str) -> None:
    assert EgressPolicy().allows(address)


def test_networks_of_the_operator() -> None:
    policy = EgressPolicy(allow=["10.0.0.0/8", "fd00::/8"], deny=["10.9.0.0/16", "8.8.8.8"])
    assert policy.allows("10.1.0.1")
    assert policy.allows("::ffff:10.1.0.1")
    assert policy.allows("64:ff9b::a01:1")
    assert policy.allows("fd00::1")
    for address in ("10.9.0.1", "::ffff:10.9.0.1", "64:ff9b::a09:1", "8.8.8.8", "192.168.0.1"):
        assert not policy.allows(address)


@given(integers(0, 2**32 - 1))
def test_an_address_in_ipv6_clothes_is_judged_as_what_it_is(number: int) -> None:
    plain = EgressPolicy().allows(str(IPv4Address(number)))
    assert EgressPolicy().allows(f"::ffff:{IPv4Address(number)}") is plain
    assert EgressPolicy().allows(str(IPv6Address((0x64FF9B << 96) | number))) is plain


@given(integers(0, 2**128 - 1))
def test_no_special_address_is_public(number: int) -> None:
    address = IPv6Address(number)
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert not EgressPolicy().allows(str(address))
