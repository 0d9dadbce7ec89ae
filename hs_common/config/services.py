"""What a process connects to and is reached by: listener, PostgreSQL, Redis, the other processes, metrics, logs."""

from typing import Annotated, Literal

from hs_common.config.option import Secret, Section, describe


class Listen(Section, frozen=True):
    """Where clients connect (one process), or the reverse proxy does (several)."""

    address: Annotated[str, describe("Address to listen on; 0.0.0.0 or :: for all.")] = "127.0.0.1"
    port: Annotated[int, describe("TCP port. `--port` of a command goes before it.", minimum=0, maximum=65535)] = 8008
    drain_ms: Annotated[
        int,
        describe(
            "How long a process that is told to end goes on accepting, while proxies notice that it is not ready.",
            unit="ms",
            minimum=0,
            maximum=10_000,
        ),
    ] = 5_000
    trusted_proxies: Annotated[
        tuple[str, ...],
        describe("Networks whose X-Forwarded-For is believed, such as the reverse proxy's."),
    ] = ("127.0.0.0/8", "::1/128")


class Database(Section, frozen=True):
    """PostgreSQL 13 or newer, the truth of everything. Encoding UTF8, locale C."""

    url: Annotated[
        Secret,
        describe("postgresql://user:password@host:port/database. The environment's DATABASE_URL goes before it."),
    ] = Secret("")
    connections: Annotated[
        int,
        describe(
            "Connections that a worker holds. Some hundred workers want a pooler or a smaller number.",
            minimum=1,
            maximum=16,
        ),
    ] = 2


class Redis(Section, frozen=True):
    """Redis 6.2 or newer (or Valkey), which carries the log to workers. It holds nothing that could be lost."""

    url: Annotated[
        Secret,
        describe("redis://host:port/0. The environment's REDIS_URL goes before it. Empty: workers poll PostgreSQL."),
    ] = Secret("")


class Cluster(Section, frozen=True):
    """How the processes of one server find and trust each other."""

    id: Annotated[
        str,
        describe(
            "Names this server's keys in Redis. Give a clone of the server another one.", pattern="[a-z0-9-]{1,32}"
        ),
    ] = "viaduct"
    secret: Annotated[
        Secret, describe("Known to all processes of this server and to nobody else; 32 random characters or more.")
    ] = Secret("")
    secret_file: Annotated[str, describe("A file to read the secret from instead; relative to this file.")] = ""
    advertise_address: Annotated[
        str, describe("The address that other processes reach this one by; empty: found out from the network.")
    ] = ""
    call_address: Annotated[str, describe("Address on which the master listens for workers.")] = "127.0.0.1"
    call_port: Annotated[
        int, describe("Port on which the master listens for workers; 0: any free one.", minimum=0, maximum=65535)
    ] = 8010


class Metrics(Section, frozen=True):
    """/metrics, /health and /ready of each process, on a listener that the reverse proxy does not know."""

    address: Annotated[str, describe("Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        describe(
            "TCP port. 0: none; clients' port then tells /metrics to everybody. `--metrics-port` of a command goes "
            "before it.",
            minimum=0,
            maximum=65535,
        ),
    ] = 0


class Logging(Section, frozen=True):
    """Logs go to standard error, one event a line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], describe("The least important thing that is still logged.")
    ] = "info"
    format: Annotated[Literal["text", "json"], describe("text for people, json for collectors of logs.")] = "text"
    slow_request_ms: Annotated[
        int, describe("Requests slower than this are logged as warnings; 0: none.", unit="ms", minimum=0)
    ] = 5_000
