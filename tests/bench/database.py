"""How much a server's PostgreSQL holds: all tables with their indexes, but for what a server deletes again soon."""

from typing import Final

import psycopg2

TRANSIENT: Final = ("outbox", "answers", "service_events")
_SIZE: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname <> ALL(%s)"
)


def size_bytes(url: str) -> int:
    """Raises psycopg2.Error."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SIZE, (list(TRANSIENT),))
            (row,) = cursor.fetchall()
            return int(row[0])
    finally:
        connection.close()
