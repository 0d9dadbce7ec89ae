"""Array literals: PostgreSQL reads back exactly the cells that went in, for any text, bytes and numbers."""

import uuid
from collections.abc import Iterator

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hs_master.log_store import encoding
from hs_master.log_store.types import Batch, Cell, Write

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("'\"\\{},%$ N\x1e"))
COLUMNS: dict[str, st.SearchStrategy[Cell]] = {
    "text": TEXTS | st.just("NULL"),
    "bytea": st.binary(),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "boolean": st.booleans(),
    "double precision": st.floats(allow_nan=False),
    "uuid": st.uuids().map(str),
}


def cells_of(kind: str) -> st.SearchStrategy[list[Cell]]:
    return st.lists(st.none() | COLUMNS[kind], min_size=1, max_size=8)


@pytest.fixture(scope="module")
def cursor(postgres: object) -> Iterator[psycopg2.extensions.cursor]:
    with postgres.database(migrated=False) as url:  # type: ignore[attr-defined]
        connection = psycopg2.connect(url)
        connection.autocommit = True
        yield connection.cursor()
        connection.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(sorted(COLUMNS)).flatmap(lambda kind: st.tuples(st.just(kind), cells_of(kind))))
def test_cells_are_read_back(cursor: psycopg2.extensions.cursor, column: tuple[str, list[Cell]]) -> None:
    kind, cells = column
    cursor.execute(f"SELECT cell FROM unnest({encoding.array(kind, cells)}::{kind}[]) cell")
    read = [_plain(cell) for (cell,) in cursor.fetchall()]
    assert read == cells


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.text("'\"\\{},aé\n\x1e\x1f"), min_size=1, max_size=8))
def test_texts_are_read_back_however_they_are_quoted(cursor: psycopg2.extensions.cursor, cells: list[Cell]) -> None:
    cursor.execute(f"SELECT cell FROM unnest({encoding.array('text', cells)}::text[]) cell")
    assert [cell for (cell,) in cursor.fetchall()] == cells


def test_json_is_cut_up_and_not_escaped() -> None:
    cells = ['{"a":"it\'s \\\\"}', "", '"\ud83d\ude00"'.encode("utf-16", "surrogatepass").decode("utf-16")]
    assert encoding.array("text", cells) == "string_to_array('" + "\x1e".join(cells).replace("'", "''") + "', '\x1e')"
    for kept in (["plain", ""], ['{"a":1}', None], ['{"a":"\x1e"}']):
        assert encoding.array("text", kept).startswith("'{")


def _plain(cell: object) -> object:
    """As we write it. Libraries that other tests import have the driver read uuids as objects, in the whole process."""
    if isinstance(cell, memoryview):
        return bytes(cell)
    return str(cell) if isinstance(cell, uuid.UUID) else cell


def test_json_travels_as_text(cursor: psycopg2.extensions.cursor) -> None:
    cells = ['{"a": "it\'s \\"x\\" \\\\ é"}', None, "[]"]
    cursor.execute(f"SELECT cell->>'a' FROM unnest({encoding.array('jsonb', cells)}::jsonb[]) cell")
    assert cursor.fetchall() == [('it\'s "x" \\ é',), (None,), (None,)]


@pytest.mark.parametrize("bad", ["\0", "a\0b", "\ud800", "x\udfffy"])
def test_what_postgres_cannot_store_is_a_value_error(bad: str) -> None:
    for cells in ([bad], ["good", bad], [None, bad, ""]):
        with pytest.raises(ValueError, match=r"NUL|surrogates"):
            encoding.array("text", cells)
        with pytest.raises(ValueError, match=r"NUL|surrogates"):
            encoding.array("text", [*cells, '"'])


def test_a_mistake_of_ours_is_an_assertion() -> None:
    with pytest.raises(AssertionError):
        encoding.array("bigint", ["1'); DROP TABLE outbox; --"])
    with pytest.raises(AssertionError):
        encoding.array("text[]", ["{}"])
    with pytest.raises(AssertionError):
        encoding.array("bytea", ["text"])


def test_a_batch_is_one_string_that_begins_with_the_fence_and_ends_with_commit() -> None:
    one = Write("one", (("a", "bigint"),), "…")
    two = Write("two", (("a", "text"), ("b", "boolean")), "…")
    batch = Batch(7, "6d1f1c1e-0000-4000-8000-000000000001", 1, 2, 1, b"\xff", (), {two: [("x", True)], one: []})
    assert encoding.transaction(batch, (one, two)) == (
        "BEGIN; EXECUTE append_batch (7, 2, 1, '6d1f1c1e-0000-4000-8000-000000000001', 1::smallint, '\\xff');"
        """EXECUTE write_two ('{"x"}', '{t}');COMMIT"""
    )


def test_rows_of_an_unknown_write_are_a_mistake() -> None:
    one, stranger = (Write(name, (("a", "bigint"),), "…") for name in ("one", "stranger"))
    batch = Batch(7, "6d1f1c1e-0000-4000-8000-000000000001", 1, 2, 1, b"", (), {stranger: [(1,)]})
    with pytest.raises(AssertionError, match="stranger"):
        encoding.transaction(batch, (one,))
