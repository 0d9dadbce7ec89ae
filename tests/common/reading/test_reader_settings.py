"""Readers' settings: many at once are the same as one by one, and what changed meanwhile is not remembered."""

from collections.abc import Callable
from typing import Any

import orjson

from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.settings import IGNORED_USERS, PUSH_RULES, read_settings
from tests.reactor import run


class FakeQueries:
    """Account data by (user, type); `before` is called before an answer."""

    def __init__(self, data: dict[tuple[str, str], Any]) -> None:
        self.data = data
        self.asked = 0
        self.before: Callable[[], object] = lambda: None

    async def fetch(self, sql: str, args: Any = ()) -> list[tuple[Any, ...]]:
        self.asked += 1
        self.before()
        users = [args[0]] if isinstance(args[0], str) else args[0]
        rows = [
            (user, kind, orjson.dumps(value).decode()) for (user, kind), value in self.data.items() if user in users
        ]
        return [row[1:] for row in rows] if isinstance(args[0], str) else rows

    async def fetch_one(self, sql: str, args: Any = ()) -> tuple[Any, ...] | None:
        raise AssertionError("not asked")

    async def execute(self, sql: str, args: Any = ()) -> int:
        raise AssertionError("not asked")


DATA = {
    ("@a:t", IGNORED_USERS): {"ignored_users": {"@x:t": {}}},
    ("@b:t", PUSH_RULES): {"global": {"content": [{"rule_id": "c", "pattern": "cake", "actions": ["notify"]}]}},
}


def test_many_are_read_as_one_by_one_and_once() -> None:
    async def play() -> None:
        db = FakeQueries(DATA)
        settings = ReaderSettings(db)
        found = await settings.of_many(["@a:t", "@b:t", "@c:t"])
        assert found["@a:t"] == await settings.of("@a:t") == read_settings("@a:t", _own("@a:t"))
        assert found["@b:t"].push_rules.conditions() == 1
        assert found["@c:t"].push_rules is found["@a:t"].push_rules
        assert await settings.of_many(["@c:t", "@b:t"]) == {"@c:t": found["@c:t"], "@b:t": found["@b:t"]}
        assert db.asked == 1

    run(play())


def test_what_changes_while_it_is_read_is_read_again() -> None:
    async def play() -> None:
        db = FakeQueries({})
        settings = ReaderSettings(db, maximum=2)
        db.before = lambda: settings.changed("@a:t", IGNORED_USERS)
        await settings.of_many(["@a:t"])
        db.before = lambda: None
        db.data = DATA
        assert (await settings.of("@a:t")).ignored == {"@x:t"}
        await settings.of_many(["@b:t", "@c:t"])
        assert settings.known("@a:t") is None

    run(play())


def _own(user_id: str) -> dict[str, str]:
    return {kind: orjson.dumps(value).decode() for (user, kind), value in DATA.items() if user == user_id}
