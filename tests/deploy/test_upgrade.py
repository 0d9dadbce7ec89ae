"""`deploy/upgrade` with a `docker` that plays: what it replaces in which order, and what is left when it breaks off."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.sources import ROOT

LIMIT_S = 120.0
FAKE = ROOT / "tests/deploy/fake_docker.py"
UP = "compose up --detach --no-build --no-deps --no-recreate --wait --scale"


class Deployment:
    """A checkout with containers of some roles, named after them."""

    def __init__(self, folder: Path, **containers: int) -> None:
        self._folder = folder
        self._script = folder / "checkout/deploy/upgrade"
        self._script.parent.mkdir(parents=True)
        shutil.copy(ROOT / "deploy/upgrade", self._script)
        docker = folder / "bin/docker"
        docker.parent.mkdir()
        docker.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {FAKE} {folder} "$@"\n')
        docker.chmod(0o755)
        running = {
            f"{role}{number}": {"role": role, "runs": True, "ready": True}
            for role, count in containers.items()
            for number in range(1, count + 1)
        }
        self._state: dict[str, Any] = {"containers": running, "calls": [], "last": 0}
        self._state |= {"broken": [], "interrupt": None, "interrupt_after": False, "signal": "SIGINT"}

    def upgrade(self, *roles: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Runs it; `changes` are of what the fake does."""
        path = self._folder / "state.json"
        self._state |= {"calls": [], **changes}
        path.write_text(json.dumps(self._state))
        environment = {
            **os.environ,
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "VIADUCT_UPGRADE_WAIT_S": "0",
        }
        done = subprocess.run(
            [str(self._script), *roles], capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False
        )
        self._state = json.loads(path.read_text())
        return done

    @property
    def calls(self) -> list[str]:
        return list(self._state["calls"])

    def running(self, role: str, *, only_ready: bool = False) -> set[str]:
        containers: Iterable[tuple[str, Any]] = self._state["containers"].items()
        return {
            name
            for name, container in containers
            if container["role"] == role and container["runs"] and (container["ready"] or not only_ready)
        }

    def there(self) -> int:
        """Containers, ended ones too."""
        return len(self._state["containers"])


def test_a_role_after_another_is_replaced_by_as_many(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, master=1, sync=2)
    done = deployment.upgrade()
    assert done.returncode == 0, done.stderr
    assert "client does not run" in done.stdout
    changes = [call for call in deployment.calls if not call.startswith("compose ps")]
    assert changes == [
        *("compose build", "compose run --rm --no-deps migrate"),
        *(f"{UP} master=2 master", "stop master1", "rm master1"),
        *(f"{UP} sync=4 sync", "stop sync1 sync2", "rm sync1 sync2"),
    ]
    assert (deployment.running("master"), deployment.running("sync")) == ({"new1"}, {"new2", "new3"})


def test_only_the_named_roles_are_replaced(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, master=1, sync=1)
    assert deployment.upgrade("sync").returncode == 0
    assert deployment.running("master") == {"master1"}
    assert deployment.running("sync") == {"new1"}


def test_new_ones_that_do_not_get_ready_leave_the_old_ones_serving(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, sync=2, media=1)
    done = deployment.upgrade("sync", "media", broken=["sync"])
    assert done.returncode != 0
    assert "sync has old containers beside new ones" in done.stderr
    assert not any(call.startswith("stop") for call in deployment.calls)
    assert deployment.running("sync", only_ready=True) == {"sync1", "sync2"}
    assert deployment.running("media") == {"media1"}
    # Once it is mended, a second run ends what never got ready, and replaces what serves.
    done = deployment.upgrade("sync", "media", broken=[])
    assert done.returncode == 0, done.stderr
    assert deployment.calls.index("stop new1 new2") < deployment.calls.index("stop sync1 sync2")
    assert len(deployment.running("sync", only_ready=True)) == 2
    assert deployment.there() == 3


@pytest.mark.parametrize(
    ("call", "after", "how"),
    [
        ("compose run", True, "SIGINT"),
        ("compose up", False, "SIGINT"),
        ("compose up", True, "SIGKILL"),
        ("stop", False, "SIGTERM"),
        ("stop", True, "SIGKILL"),
        ("rm", False, "SIGINT"),
        ("rm", True, "SIGKILL"),
    ],
)
def test_a_second_run_puts_right_what_an_interrupted_one_left(tmp_path: Path, call: str, after: bool, how: str) -> None:
    deployment = Deployment(tmp_path, sync=2, media=1)
    done = deployment.upgrade("sync", "media", interrupt=call, interrupt_after=after, signal=how)
    assert done.returncode != 0
    assert len(deployment.running("sync", only_ready=True)) >= 2, "somebody serves"
    is_under_way = call in ("compose up", "stop", "rm")
    if how != "SIGKILL":
        assert ("Run deploy/upgrade again" in done.stderr) == is_under_way
    done = deployment.upgrade("sync", "media")
    assert done.returncode == 0, done.stderr
    assert ("sync: an upgrade did not come to its end" in done.stdout) == is_under_way
    assert deployment.there() == 3
    assert {len(deployment.running(role, only_ready=True)) for role in ("sync", "media")} == {1, 2}
    assert not {"sync1", "sync2", "media1"} & (deployment.running("sync") | deployment.running("media"))
    assert deployment.upgrade("sync").stderr == ""


def test_a_half_stopped_role_keeps_its_new_containers(tmp_path: Path) -> None:
    """The new ones serve, and of the old ones one is still there."""
    deployment = Deployment(tmp_path, sync=2)
    deployment.upgrade("sync", interrupt="stop", interrupt_after=False)
    deployment._state["containers"]["sync1"]["runs"] = False
    done = deployment.upgrade("client")
    assert done.returncode == 0, done.stderr
    assert deployment.running("sync") == {"new1", "new2"}
    assert deployment.there() == 2
