"""Server access control lists."""

from typing import Any

import pytest

from hs_common.matrix.server_acl import ServerAcl, denied

ALL: dict[str, Any] = {"allow": ["*"]}


@pytest.mark.parametrize(
    ("content", "server", "allowed"),
    [
        (ALL, "a.example", True),
        ({}, "a.example", False),
        ({"allow": "*"}, "a.example", False),
        ({"allow": ["*.example"]}, "a.example:8448", True),
        ({"allow": ["*.example:8448"]}, "a.example:8448", False),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "x.evil.example", False),
        ({"allow": ["*"], "deny": ["EVIL.example"]}, "evil.example:1234", False),
        ({"allow": ["*"], "deny": ["*.evil.example"]}, "evil.example", True),
        ({"allow": ["?.example"]}, "ab.example", False),
        ({**ALL, "allow_ip_literals": False}, "10.0.0.1", False),
        ({**ALL, "allow_ip_literals": False}, "[::1]:8448", False),
        ({**ALL, "allow_ip_literals": False}, "a.example", True),
        ({**ALL, "allow_ip_literals": "no"}, "10.0.0.1", True),
        ({"allow": [5, "a.example"], "deny": [None]}, "a.example", True),
        (ALL, "not a name", False),
    ],
)
def test_acl(content: dict[str, Any], server: str, allowed: bool) -> None:
    assert ServerAcl(content).allows(server) is allowed


def test_the_answer_names_the_server() -> None:
    assert "evil.example" in str(denied("evil.example"))
