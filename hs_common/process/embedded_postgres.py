"""A private PostgreSQL for `viaduct up` and the tests: initialised, started, watched and stopped as a direct child.

Listens on a Unix socket alone, in a folder that only its own user may enter; so it needs no password and no port.
Its data survive; its options are those of a small server, with durability on unless the caller says `scratch`.
Must not know what is stored in it.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hs_common.process.child_process import Identity, is_alive, spawn, stop
from hs_common.process.programs import PostgresPrograms, Say, find_postgres
from hs_common.process.system_user import can_enter, can_execute, give_to, unprivileged_identity

SUPERUSER = "viaduct"
_SOCKET_NAME_PORT = 5432  # part of the socket's file name; nothing listens on a port
_START_TIMEOUT_S = 60.0  # crash recovery of a big write-ahead log on a slow disk
_STOP_TIMEOUT_S = 30.0  # a fast shutdown writes a checkpoint
_POLL_S = 0.02
_SOCKET_PATH_LIMIT = 100  # sun_path has 108 bytes; the socket's own name takes the rest
_ROOT_STATE_FOLDER = Path("/var/lib/viaduct")  # where an unprivileged user can reach what root made
_LOG_LIMIT_BYTES = 8 << 20  # one start's log is begun anew beyond this size

# A small server's settings. `max_connections` leaves room for `up --split` (four workers with two each) and tools.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "idle_in_transaction_session_timeout": "0",
    "log_min_error_statement": "panic",  # statements hold what people write
    "jit": "off",  # compiling costs more than our short statements take
}
# For tests: what a crash would lose is thrown away anyway.
_SCRATCH_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",
}


class EmbeddedPostgresError(Exception):
    """PostgreSQL cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one server lives: its programs, its user, the data folder and the folder of its socket."""

    programs: PostgresPrograms
    identity: Identity | None
    data: Path
    sockets: Path
    log: Path


class EmbeddedPostgres:
    """One PostgreSQL server over one data folder, running from `start` to `stop`."""

    def __init__(self, folder: Path, *, say: Say, scratch: bool = False) -> None:
        """`folder`: the parent of the data folder `postgres`; `say`: shows progress; `scratch`: no durability."""
        self._folder = folder
        self._say = say
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self._place: _Place | None = None

    def start(self) -> None:
        """Start the server, initialising its data folder if it is new, and wait until it accepts connections.

        Raises EmbeddedPostgresError, or ProgramNotFoundError when there is no PostgreSQL and none can be installed.
        """
        place = self._place
        if place is None or not place.sockets.exists():
            place = _arrange(self._folder, self._say)
        self._place = place  # a later start serves on the same socket: its clients know no other
        if not (place.data / "PG_VERSION").exists():
            self._say(f"Creating a PostgreSQL {place.programs.major} database in {place.data} …")
            _initialise(place)
        _wait_for_predecessor(place.data)
        settings = {**_SETTINGS, "unix_socket_directories": str(place.sockets)}
        if self._scratch:
            settings.update(_SCRATCH_SETTINGS)
        if place.log.exists() and place.log.stat().st_size > _LOG_LIMIT_BYTES:
            place.log.unlink()
        with place.log.open("ab") as log:
            self._process = spawn(
                [place.programs.postgres, "-D", place.data, "-p", str(_SOCKET_NAME_PORT), *_options(settings)],
                death_signal=signal.SIGINT,  # a fast shutdown: clean, without waiting for clients
                identity=place.identity,
                environment=_environment(),
                directory=place.data,
                output=log,
            )
        self._wait_until_ready(place)

    def stop(self) -> None:
        """Shut down in order, with a checkpoint; the next start then needs no recovery."""
        if self._process is not None:
            stop(self._process, signal.SIGINT, _STOP_TIMEOUT_S)
            self._process = None
        if self._place is not None and self._place.sockets.parent != self._folder:
            shutil.rmtree(self._place.sockets, ignore_errors=True)

    def has_ended(self) -> bool:
        """Whether it was started and ended without being asked to; `start` brings it back with its data."""
        return self._process is not None and self._process.poll() is not None

    @property
    def process_id(self) -> int:
        """Of the postmaster, for tests that kill it."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def data_folder(self) -> Path:
        """Where the data really lies: beside everything else, or where its unprivileged user can reach it."""
        assert self._place is not None, "not started"
        return self._place.data

    def url(self, database: str) -> str:
        """The connection URL of a database on this server, as the superuser of this server."""
        assert self._place is not None, "not started"
        host = quote(str(self._place.sockets), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={host}&port={_SOCKET_NAME_PORT}"

    def create_database(self, database: str) -> bool:
        """Create the database if it is missing; answers whether it was."""
        import psycopg2  # here, because `viaduct config` and its like need no driver
        from psycopg2 import sql

        connection = psycopg2.connect(self.url("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
                if cursor.fetchone() is not None:
                    return False
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
                return True
        finally:
            connection.close()

    def _wait_until_ready(self, place: _Place) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start. Its last words, from {place.log}:\n{_tail(place)}"
                )
            if _status_line(place.data) == "ready":
                return
            time.sleep(_POLL_S)
        self.stop()
        raise EmbeddedPostgresError(f"PostgreSQL was not ready after {_START_TIMEOUT_S:.0f} s; see {place.log}")


def _arrange(folder: Path, say: Say) -> _Place:
    """Decide on programs, user and folders, and make the folders."""
    try:
        identity = unprivileged_identity(folder / "postgres")
    except LookupError as error:
        raise EmbeddedPostgresError(f"{error}. Start as an ordinary user, or set DATABASE_URL.") from error
    folder.mkdir(parents=True, exist_ok=True)
    data = _data_folder(folder, identity)
    programs = find_postgres(_major_of(data), say)
    _refuse_other_major(data, programs)
    programs = _reachable_programs(programs, identity)
    sockets = _socket_folder(data, identity)
    log = folder / "postgres.log"
    return _Place(programs, identity, data, sockets, log)


def _data_folder(folder: Path, identity: Identity | None) -> Path:
    """`folder/postgres`; a link to a folder elsewhere when the server's user cannot enter `folder`."""
    data = folder / "postgres"
    if data.is_symlink():
        data = data.resolve()
    elif not data.exists() and not can_enter(identity, folder):
        # A new place each time: a folder that was deleted to start over must not find its old database.
        _ROOT_STATE_FOLDER.mkdir(parents=True, exist_ok=True)
        elsewhere = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=_ROOT_STATE_FOLDER))
        elsewhere.chmod(0o711)
        data.symlink_to(elsewhere / "postgres")
        data = elsewhere / "postgres"
    if not data.exists():
        data.mkdir(mode=0o700)
        give_to(identity, data)
    return data


def _major_of(data: Path) -> int | None:
    """The version that a data folder was made by; None for a new folder."""
    version = data / "PG_VERSION"
    return int(version.read_text().split(".")[0]) if version.exists() else None


def _refuse_other_major(data: Path, programs: PostgresPrograms) -> None:
    major = _major_of(data)
    if major is None or major == programs.major:
        return
    raise EmbeddedPostgresError(
        f"The database in {data} was made by PostgreSQL {major}, but only version {programs.major} was found "
        f"({programs.folder}). Either install PostgreSQL {major} again (Debian, Ubuntu: apt install "
        f"postgresql-{major}); or, to move on to version {programs.major}: with version {major} installed run "
        f"`pg_upgrade`, or dump with its `pg_dump`, rename the folder, start anew and load the dump. "
        "Nothing was changed."
    )


def _reachable_programs(programs: PostgresPrograms, identity: Identity | None) -> PostgresPrograms:
    """The same programs, copied when the server's user cannot enter the folder they lie in (a checkout of root's)."""
    if can_execute(identity, programs.postgres):
        return programs
    base = Path(os.path.commonpath([part.parent for part in programs.parts]))
    digest = hashlib.sha256(programs.postgres.read_bytes()).hexdigest()[:12]
    copy = _ROOT_STATE_FOLDER / f"postgresql-{programs.major}-{digest}"
    if not copy.exists():
        _ROOT_STATE_FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=_ROOT_STATE_FOLDER))
        for part in programs.parts:
            shutil.copytree(part, unfinished / part.relative_to(base), ignore=shutil.ignore_patterns("include"))
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    parts = tuple(copy / part.relative_to(base) for part in programs.parts)
    return PostgresPrograms(copy / programs.folder.relative_to(base), programs.major, parts)


def _socket_folder(data: Path, identity: Identity | None) -> Path:
    """A private folder for the socket: beside the data, or a temporary one when that path is too long for a socket."""
    sockets = data.parent / "socket"
    if len(str(sockets)) > _SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432"):
        sockets = Path(tempfile.mkdtemp(prefix="viaduct-"))
    sockets.mkdir(mode=0o700, exist_ok=True)
    give_to(identity, sockets)
    return sockets


def _initialise(place: _Place) -> None:
    command = [place.programs.initdb, "-D", place.data, "-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject"]
    identity = place.identity
    result = subprocess.run(
        [*map(str, command), "--locale=C", "-E", "UTF8", "--no-instructions"],
        capture_output=True,
        text=True,
        check=False,
        cwd=place.data,
        env=_environment(),
        user=None if identity is None else identity.user_id,
        group=None if identity is None else identity.group_id,
        extra_groups=None if identity is None else [],
    )
    if result.returncode != 0:
        raise EmbeddedPostgresError(f"initdb failed:\n{result.stdout}{result.stderr}")


def _environment() -> dict[str, str]:
    """Ours without PG*, which would redirect the programs to somebody else's server, and in a known language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _wait_for_predecessor(data: Path, is_running: Callable[[int, Path], bool] | None = None) -> None:
    """Let a server of this folder that outlived its parent finish, and take away the file of one that was killed.

    The caller holds the data folder's lock, so whatever still runs here is an orphan on its way out.
    """
    is_running = is_running or _serves
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    pid_file = data / "postmaster.pid"
    while (process_id := _recorded_process(pid_file)) is not None and is_running(process_id, data):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"PostgreSQL (process {process_id}) already runs on {data}; stop it first")
        time.sleep(_POLL_S)
    pid_file.unlink(missing_ok=True)


def _recorded_process(pid_file: Path) -> int | None:
    try:
        return abs(int(pid_file.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def _serves(process_id: int, data: Path) -> bool:
    """Whether that process is a postmaster of this folder: it works inside it. Ids are used again after a reboot."""
    if not is_alive(process_id):
        return False
    try:
        return Path(f"/proc/{process_id}/cwd").resolve() == data.resolve()
    except OSError:
        return True  # another user's process: better wait and say so than start a second server


def _status_line(data: Path) -> str:
    """The eighth line of postmaster.pid: starting, stopping, ready, standby."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[7].strip() if len(lines) > 7 else ""


def _tail(place: _Place, lines: int = 8) -> str:
    try:
        return "\n".join(place.log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(none)"
