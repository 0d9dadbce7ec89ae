"""The commands, as an operator calls them."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner, Result

from hs_common.process.blocking_queries import BlockingQueries, finished
from hs_common.process.command_line import main
from hs_common.process.commands.admin import registration_proof
from hs_common.process.signing_key import make_signing_key
from hs_common.storage.registration_tokens import is_token_valid, reserve_token
from tests.web_servers import serving

SECRET = "a secret that tools know"


def viaduct(*arguments: str | Path, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)


class Homeserver(ThreadingHTTPServer):
    """A homeserver of which only the shared-secret registration is there."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.accounts: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    """Answers as the registration of an account by shared secret is documented."""

    server: Homeserver

    def do_GET(self) -> None:
        self._answer(200, {"nonce": "once"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        expected = registration_proof(SECRET, "once", body["username"], body["password"], body["admin"])
        if body["mac"] != expected:
            self._answer(403, {"errcode": "M_FORBIDDEN", "error": "HMAC incorrect"})
        elif body["username"] in [account["username"] for account in self.server.accounts]:
            self._answer(400, {"errcode": "M_USER_IN_USE", "error": "User ID already taken."})
        else:
            self.server.accounts.append(body)
            self._answer(200, {"user_id": f"@{body['username']}:example.org"})

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Silent: pytest shows what matters."""


@pytest.fixture
def homeserver() -> Iterator[Homeserver]:
    with serving(Homeserver()) as server:
        yield server


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "viaduct.toml"
    path.write_text(f'[server]\nname = "example.org"\n[registration]\nshared_secret = "{SECRET}"\n')
    return path


def create_user(config_path: Path, url: str, name: str, *options: str) -> Result:
    given = ["--config", str(config_path), "--url", url, "--password", "correct horse"]
    return viaduct("admin", "create-user", name, *given, *options)


def test_help_lists_every_command() -> None:
    text = viaduct("--help").output
    for name in ("up", "master", "worker", "admin", "config", "routes", "migrate", "doctor", "test"):
        assert f"\n  {name} " in text
        assert viaduct(name, "--help").exit_code == 0


def test_config_prints_the_reference_and_checks_a_file(config_path: Path, tmp_path: Path) -> None:
    reference = viaduct("config")
    (tmp_path / "whole.toml").write_text(reference.stdout)
    assert viaduct("config", "--check", tmp_path / "whole.toml").exit_code == 0
    assert "good: server example.org" in viaduct("config", "--check", config_path).output
    config_path.write_text("[servr]")
    broken = viaduct("config", "--check", config_path)
    assert broken.exit_code == 1
    assert broken.stderr == "viaduct: Unknown option servr. Did you mean server?\n"


def test_checked_config_never_shows_a_secret(config_path: Path) -> None:
    assert SECRET not in viaduct("config", "--check", config_path).output


def test_admin_creates_accounts_over_http(config_path: Path, homeserver: Homeserver) -> None:
    assert create_user(config_path, homeserver.url, "alice", "--admin").stdout == "Created @alice:example.org.\n"
    assert create_user(config_path, homeserver.url, "bob").exit_code == 0
    assert [(account["username"], account["admin"]) for account in homeserver.accounts] == [
        ("alice", True),
        ("bob", False),
    ]


def test_refusal_and_absence_of_the_server_are_said_in_a_sentence(config_path: Path, homeserver: Homeserver) -> None:
    create_user(config_path, homeserver.url, "alice")
    again = create_user(config_path, homeserver.url, "alice")
    assert again.exit_code == 1
    assert "User ID already taken. (M_USER_IN_USE)" in again.stderr
    absent = create_user(config_path, "http://127.0.0.1:1", "alice")
    assert absent.exit_code == 1
    assert "no server answers at http://127.0.0.1:1" in absent.stderr
    config_path.write_text("")
    assert "set registration.shared_secret" in create_user(config_path, homeserver.url, "alice").stderr


def test_proof_is_the_documented_one() -> None:
    """As `printf 'nonce\\0name\\0pass\\0admin' | openssl sha1 -hmac shared` has it."""
    assert registration_proof("shared", "nonce", "name", "pass", True) == "8313d3cab9d65cc94d07b0b1fc0a8b861595244b"


def test_admin_makes_registration_tokens(config_path: Path, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url}
    given = ["admin", "create-token", "--config", str(config_path)]
    made = viaduct(*given, "--uses", "1", "--days", "2", environment=environment).stdout.strip()
    assert viaduct(*given, "--token", "friends", environment=environment).stdout == "friends\n"
    again = viaduct(*given, "--token", "friends", environment=environment)
    assert (again.exit_code, again.stderr) == (1, "viaduct: there is such a token already\n")
    queries = BlockingQueries(database_url)
    try:
        now_ms = int(time.time() * 1000)
        assert finished(is_token_valid(queries, made, now_ms))
        assert not finished(is_token_valid(queries, made, now_ms + 3 * 24 * 3_600_000))
        assert finished(reserve_token(queries, made, now_ms))
        assert not finished(is_token_valid(queries, made, now_ms))
        assert finished(is_token_valid(queries, "friends", now_ms + 1000 * 24 * 3_600_000))
    finally:
        queries.close()


def test_migrate_makes_schema_and_key_and_can_be_repeated(config_path: Path, empty_database_url: str) -> None:
    environment = {"DATABASE_URL": empty_database_url}
    first = viaduct("migrate", "--config", config_path, "--make-key", environment=environment)
    assert first.exit_code == 0, first.output
    assert "Made the signing key" in first.stderr
    again = viaduct("migrate", "--config", config_path, "--make-key", environment=environment)
    assert "(0 migrations applied now)" in again.stderr
    assert "Made the signing key" not in again.stderr


def test_migrate_says_when_there_is_no_database(config_path: Path) -> None:
    assert "no database is configured" in viaduct("migrate", "--config", config_path).stderr
    away = viaduct("migrate", "--config", config_path, environment={"DATABASE_URL": "postgresql://127.0.0.1:1/x"})
    assert away.exit_code == 1
    assert "refused" in away.stderr


def test_setup_makes_secrets_once_and_for_their_readers_alone(tmp_path: Path) -> None:
    keys, database = tmp_path / "keys", tmp_path / "database"
    assert viaduct("setup", "--keys", keys, "--database", database).exit_code == 0
    made = {path: path.read_text() for path in [*keys.iterdir(), *database.iterdir()]}
    assert {path.name for path in keys.iterdir()} == {"signing.key", "cluster.secret", "registration.secret", "pgpass"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys.iterdir())
    assert made[database / "worker.password"].strip() in made[keys / "pgpass"]
    assert viaduct("setup", "--keys", keys, "--database", database).exit_code == 0
    assert {path: path.read_text() for path in made} == made


def test_doctor_finds_what_is_wrong_in_turn(config_path: Path, empty_database_url: str, redis_url: str) -> None:
    environment = {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}
    sick = viaduct("doctor", "--config", config_path, environment=environment)
    assert sick.exit_code == 1
    assert "WRONG  There is no signing key" in sick.stdout
    assert "WRONG  the database has no schema" in sick.stdout
    viaduct("migrate", "--config", config_path, "--make-key", environment=environment)
    better = viaduct("doctor", "--config", config_path, environment=environment)
    assert "good   the schema is up to date" in better.stdout
    assert "WRONG  no master leads: start one" in better.stdout


def test_doctor_lists_the_leader_and_who_is_behind(config_path: Path, database_url: str) -> None:
    make_signing_key(config_path.with_name("signing.key"), lambda count: bytes(count))
    config_path.with_name("signing.key").chmod(0o644)
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE leader SET epoch = 7, address = '10.0.0.1:8010'")
        cursor.execute(
            "INSERT INTO members (id, roles, version, oldest_format, newest_format, address, http_port, lag_ms)"
            " VALUES (gen_random_uuid(), '{sync}', '1', 1, 1, '10.0.0.2:0', 8008, 60000)"
        )
    connection.close()
    found = viaduct("doctor", "--config", config_path, environment={"DATABASE_URL": database_url}).stdout
    assert "good   the master at 10.0.0.1:8010 leads, epoch 7" in found
    assert "WRONG  sync at 10.0.0.2:8008 lives and is 60000 ms behind the log" in found
    assert "chmod 600" in found


def test_unknown_role_is_refused_with_the_known_ones(config_path: Path) -> None:
    refused = viaduct("worker", "clientt", "--config", config_path)
    assert refused.exit_code == 1
    assert "there is no role 'clientt'; the roles are client," in refused.stderr


def test_missing_config_is_said_with_the_way_out(tmp_path: Path) -> None:
    refused = viaduct("master", "--config", tmp_path / "none.toml")
    assert refused.exit_code == 1
    assert "There is no config file" in refused.stderr
    assert "`viaduct config` prints one" in refused.stderr


def test_routes_are_those_of_the_declared_endpoints() -> None:
    routes = json.loads(viaduct("routes").stdout)
    assert {"role": "client", "method": "GET", "path": "/_matrix/client/versions"}.items() <= next(
        route for route in routes["routes"] if route["path"] == "/_matrix/client/versions"
    ).items()
    assert viaduct("routes", "--format", "apache").exit_code == 2
