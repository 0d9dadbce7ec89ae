"""Lists as array literals: the server reads the very values, whatever they hold."""

from typing import Any

import psycopg2
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.storage.arrays import literal, with_literals

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    ['"', "\\", "{", "}", ",", "NULL", "null", " ", "'", "a\nb", '"\\', "%s", "E'"]
)
_KINDS: tuple[tuple[str, Any], ...] = (
    ("text", st.lists(_TEXT | st.none(), max_size=5)),
    ("bigint", st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=5)),
    ("boolean", st.lists(st.booleans() | st.none(), max_size=5)),
    ("bytea", st.lists(st.binary(max_size=8) | st.none(), max_size=5)),
)


def test_what_is_sent_arrives(empty_database_url: str) -> None:
    connection = psycopg2.connect(empty_database_url)
    cursor = connection.cursor()

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        for kind, lists in _KINDS:
            values = data.draw(lists)
            sent = literal(values)
            assert isinstance(sent, str)
            cursor.execute(
                f"SELECT value FROM unnest(%s::{kind}[]) WITH ORDINALITY AS t (value, n) ORDER BY n", (sent,)
            )
            found = [bytes(value) if isinstance(value, memoryview) else value for (value,) in cursor.fetchall()]
            assert found == values

    try:
        check()
    finally:
        connection.close()


def test_only_lists_change() -> None:
    assert with_literals({"rooms": ["!a", "!b"], "user": "@a:b", "limit": 3}) == {
        "rooms": '{"!a","!b"}',
        "user": "@a:b",
        "limit": 3,
    }
    assert with_literals((["!a"], ("IN", "list"), None)) == ['{"!a"}', ("IN", "list"), None]
    assert literal([]) == "{}"


def test_what_only_the_driver_can_write_is_left_to_it() -> None:
    values = [1.5, {"a": 1}]
    assert literal(values) is values
