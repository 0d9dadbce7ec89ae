"""URLs of Redis, as redis-py and Redis' own tools understand them. Pure.

Our own, because importing redis-py's parser costs each process 7 MiB and a tenth of its start: it brings the whole
client. A test holds it to redis-py's.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

DEFAULT_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a Redis is and how to enter. `socket_path` is empty for TCP."""

    host: str
    port: int
    socket_path: str
    tls: bool
    user: str | None
    password: str | None
    database: int


def parse_redis_url(url: str) -> RedisPlace:
    """`redis://`, `rediss://` (TLS) or `unix://`, with user, password and database. Raises ValueError for others."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("a URL of Redis has the scheme redis://, rediss:// or unix://")
    named = parse_qs(parts.query).get("db")
    path = unquote(parts.path)
    is_socket = parts.scheme == "unix"
    database = named[0] if named else "" if is_socket else path.strip("/")
    return RedisPlace(
        host=unquote(parts.hostname or "localhost"),
        port=parts.port or DEFAULT_PORT,
        socket_path=path if is_socket else "",
        tls=parts.scheme == "rediss",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        database=int(database) if database else 0,
    )
