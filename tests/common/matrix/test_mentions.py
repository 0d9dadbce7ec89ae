"""`m.mentions`: whom an event means, whatever stands there."""

from typing import Any

import pytest

from hs_common.matrix.mentions import MAX_USER_IDS, NOBODY, Mentions, parse_mentions


@pytest.mark.parametrize(
    ("mentions", "expected"),
    [
        ({}, NOBODY),
        ({"user_ids": ["@a:x", "@b:x"]}, Mentions(("@a:x", "@b:x"))),
        ({"user_ids": ["@b:x", "@a:x", "@b:x"]}, Mentions(("@b:x", "@a:x"))),
        ({"user_ids": ["@a:x", 5, None], "room": True}, Mentions(("@a:x",), room=True)),
        ({"user_ids": "@a:x", "room": "true"}, NOBODY),
        ({"room": 1}, NOBODY),
        ("@a:x", NOBODY),
    ],
)
def test_parse(mentions: Any, expected: Mentions) -> None:
    assert parse_mentions({"m.mentions": mentions}) == expected


def test_no_mentions_at_all() -> None:
    assert parse_mentions({"body": "hello"}) is NOBODY


def test_users_beyond_the_limit_are_not_read() -> None:
    user_ids = [f"@{number}:x" for number in range(MAX_USER_IDS + 1)]
    assert parse_mentions({"m.mentions": {"user_ids": user_ids}}).user_ids == tuple(user_ids[:MAX_USER_IDS])
