"""Which user PostgreSQL runs as: ours, unless we are root; then the data folder's owner, or an unprivileged one."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from hs_common.process import system_user
from hs_common.process.child_process import Identity
from hs_common.process.system_user import can_enter, can_execute, unprivileged_identity


def be(user_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user_id)


def know_users(names: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", names[name], names[name] + 1, "", "/", "/bin/false"))

    monkeypatch.setattr(pwd, "getpwnam", find)


def test_ordinary_users_stay_who_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be(1000, monkeypatch)
    assert unprivileged_identity(tmp_path) is None


def test_root_becomes_postgres_or_else_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be(0, monkeypatch)
    know_users({"postgres": 101, "nobody": 65534}, monkeypatch)
    assert unprivileged_identity(tmp_path / "new") == Identity("postgres", 101, 102)
    know_users({"nobody": 65534}, monkeypatch)
    assert unprivileged_identity(tmp_path / "new") == Identity("nobody", 65534, 65535)
    know_users({}, monkeypatch)
    with pytest.raises(LookupError, match="no user postgres or nobody here"):
        unprivileged_identity(tmp_path / "new")


def test_root_starts_an_ordinary_users_database_as_that_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be(0, monkeypatch)

    class Owned:
        st_uid, st_gid = 1234, 1235

    monkeypatch.setattr(Path, "stat", lambda self, **options: Owned)
    monkeypatch.setattr(Path, "exists", lambda self, **options: True)
    assert unprivileged_identity(tmp_path) == Identity("user 1234", 1234, 1235)


def test_reach_is_asked_as_that_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        asked.append({"path": arguments[-1], **options})
        return subprocess.CompletedProcess(arguments, 1)

    monkeypatch.setattr(system_user.subprocess, "run", run)  # type: ignore[attr-defined]
    assert not can_enter(Identity("nobody", 65534, 65535), tmp_path)
    assert asked[0]["path"] == str(tmp_path)
    assert (asked[0]["user"], asked[0]["group"], asked[0]["extra_groups"]) == (65534, 65535, [])


def test_what_is_not_there_cannot_be_reached(tmp_path: Path) -> None:
    program = tmp_path / "program"
    assert not can_enter(None, tmp_path / "missing")
    assert not can_execute(None, program)
    program.write_text("#!/bin/sh\n")
    assert not can_execute(None, program)
    program.chmod(0o755)
    assert can_execute(None, program)
    assert can_enter(None, tmp_path)
