"""Rows as SQL text: one array per column, for EXECUTE of a prepared write.

Why not the driver's own adaptation: it makes an expression of each cell, which the server parses one by one; an array
literal, or a text that the server cuts up, is one constant. Pure. Raises ValueError for what PostgreSQL could never
store (NUL, lone surrogates).
"""

from collections.abc import Sequence

from hs_master.log_store.types import Answer, Batch, Cell, Write

_PLAIN = frozenset({"smallint", "integer", "bigint", "double precision", "real", "numeric"})
_SEPARATOR = "\0"  # PostgreSQL stores no NUL, so it can stand between the cells while they are escaped together
_RECORD_SEPARATOR = "\x1e"  # PostgreSQL stores it, but JSON has none: control characters are escaped there

APPEND = "append_batch"
STORE_ANSWERS = "store_answers"


def preparations(writes: Sequence[Write]) -> str:
    """The statements that a session runs once, before its first batch."""
    statements = [
        f"PREPARE {APPEND} (bigint, bigint, bigint, uuid, smallint, bytea) AS"
        " SELECT append_to_log($1, $2, $3, $4, $5, $6)",
        f"PREPARE {STORE_ANSWERS} (bytea[], bigint[], bytea[], smallint[]) AS"
        " INSERT INTO answers (key, pos, answer, kind)"
        " SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::smallint[])",
    ]
    for write in writes:
        types = ", ".join(f"{kind}[]" for _, kind in write.columns)
        statements.append(f"PREPARE {_prepared_name(write)} ({types}) AS {write.sql}")
    return "; ".join(statements)


def transaction(batch: Batch, writes: Sequence[Write]) -> str:
    """The whole batch as one string of statements: one round trip. The fence is the first of them."""
    strangers = [write.name for write in batch.rows if write not in writes]
    assert not strangers, f"the session has not prepared {strangers}"
    statements = [
        f"BEGIN; EXECUTE {APPEND} ({batch.epoch:d}, {batch.pos:d}, {batch.prev:d}, '{_uuid(batch.batch)}',"
        f" {batch.format:d}::smallint, '\\x{batch.body.hex()}')"
    ]
    if batch.answers:
        statements.append(f"EXECUTE {STORE_ANSWERS} ({_answers(batch.answers)})")
    for write in writes:
        rows = batch.rows.get(write)
        if rows:
            columns = zip(*rows, strict=True)
            literals = (array(kind, cells) for (_, kind), cells in zip(write.columns, columns, strict=True))
            statements.append(f"EXECUTE {_prepared_name(write)} ({', '.join(literals)})")
    statements.append("COMMIT")
    return ";".join(statements)


def array(kind: str, cells: Sequence[Cell]) -> str:
    """The cells of one column as the SQL expression of an array of that type."""
    assert not kind.endswith("]"), "unnest would flatten an array of arrays: pass text, and let the SQL take it apart"
    if kind in _PLAIN:
        numbers = ",".join(["NULL" if cell is None else str(cell) for cell in cells])
        assert "'" not in numbers, "a column of numbers takes numbers"
        return f"'{{{numbers}}}'"
    if kind == "bytea":
        return f"'{{{','.join([_bytes(cell) for cell in cells])}}}'"
    if kind == "boolean":
        return f"'{{{','.join(['NULL' if cell is None else 't' if cell else 'f' for cell in cells])}}}'"
    return (_cut_up(cells) if kind == "text" else None) or f"'{{{_texts(cells)}}}'"


def _cut_up(cells: Sequence[Cell]) -> str | None:
    """Texts with quotation marks, such as JSON, as one string that the server cuts up: an array literal would have each
    mark escaped, which costs both sides far more. None if that cannot be, or does not pay."""
    try:
        joined = _RECORD_SEPARATOR.join(cells)  # type: ignore[arg-type]  # a cell is NULL
    except TypeError:
        return None
    if '"' not in joined or joined.count(_RECORD_SEPARATOR) != len(cells) - 1 or _SEPARATOR in joined:
        return None
    if not joined.isascii():
        joined.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    quoted = joined.replace("'", "''")
    return f"string_to_array('{quoted}', '{_RECORD_SEPARATOR}')"


def _bytes(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    assert isinstance(cell, bytes), "a bytea column takes bytes"
    return f'"\\\\x{cell.hex()}"'


def _texts(cells: Sequence[Cell]) -> str:
    """Text, jsonb, uuid and the like: escaped all at once, then cut into cells."""
    present = [cell for cell in cells if cell is not None]
    joined = _SEPARATOR.join(present)  # type: ignore[arg-type]  # a TypeError here is a mistake of ours
    if joined.count(_SEPARATOR) != max(len(present) - 1, 0):
        raise ValueError("a text contains NUL")
    joined.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("'", "''")
    if len(present) == len(cells):
        return f'"{escaped.replace(_SEPARATOR, chr(34) + "," + chr(34))}"'
    texts = iter(escaped.split(_SEPARATOR))
    return ",".join(["NULL" if cell is None else f'"{next(texts)}"' for cell in cells])


def _answers(answers: Sequence[Answer]) -> str:
    keys, positions, bodies, kinds = zip(*answers, strict=True)
    return ", ".join((array("bytea", keys), array("bigint", positions), array("bytea", bodies), _kinds(kinds)))


def _kinds(kinds: Sequence[int]) -> str:
    return array("smallint", [int(kind) for kind in kinds])


def _prepared_name(write: Write) -> str:
    return f"write_{write.name}"


def _uuid(text: str) -> str:
    assert len(text) == 36, "a batch is named by a uuid"
    assert "'" not in text, "a batch is named by a uuid"
    return text
