"""How a bulk statement is written: over the columns of its rows, which arrive as arrays."""

from hs_master.log_store.types import Write

Columns = tuple[tuple[str, str], ...]


def _parameters(columns: Columns) -> str:
    return ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(columns, start=1))


def _names(columns: Columns) -> str:
    return ", ".join(name for name, _ in columns)


def insert(name: str, table: str, columns: Columns, conflict: str = "") -> Write:
    """Inserts the rows; `conflict` is what follows, such as ON CONFLICT."""
    sql = f"INSERT INTO {table} ({_names(columns)}) SELECT * FROM unnest({_parameters(columns)}) {conflict}"
    return Write(name, columns, sql)


def with_rows(name: str, columns: Columns, statement: str) -> Write:
    """A statement over the rows as relation `new`."""
    return Write(name, columns, statement.format(new=f"unnest({_parameters(columns)}) AS new ({_names(columns)})"))
