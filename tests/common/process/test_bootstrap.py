"""What ./viaduct runs before anything is installed: the list of requirements, and pip where Python lacks it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hs_common.process import fetch_pip, requirements
from tests.tidy.sources import ROOT
from tests.web_servers import serving

_STANDARD_LIBRARY_ONLY = ("fetch_pip.py", "requirements.py")


class Index(ThreadingHTTPServer):
    """A package index with the files it is given."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.files: dict[str, bytes] = {}
        self.page: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple/"

    def offer(self, name: str, content: bytes, *, digest: str | None = None, yanked: bool = False) -> None:
        self.files[name] = content
        hashes = {"sha256": digest or hashlib.sha256(content).hexdigest()}
        self.page.append({"filename": name, "url": f"../../files/{name}", "hashes": hashes, "yanked": yanked})


class _Request(BaseHTTPRequestHandler):
    """Answers a page of names, or a file."""

    server: Index

    def do_GET(self) -> None:
        if self.path == "/simple/pip/":
            content = json.dumps({"files": self.server.page}).encode()
        else:
            content = self.server.files[self.path.removeprefix("/files/")]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: pytest shows what matters."""


@pytest.fixture
def index() -> Iterator[Index]:
    with serving(Index()) as server:
        yield server


def test_newest_final_wheel_is_fetched(index: Index, tmp_path: Path) -> None:
    index.offer("pip-9.0.3-py2.py3-none-any.whl", b"old")
    index.offer("pip-24.3.1-py3-none-any.whl", b"good")
    index.offer("pip-24.10-py3-none-any.whl", b"better")
    index.offer("pip-25.0b1-py3-none-any.whl", b"not final")
    index.offer("pip-25.1-py3-none-any.whl", b"withdrawn", yanked=True)
    path = fetch_pip.fetch(index.url, tmp_path)
    assert path.name == "pip-24.10-py3-none-any.whl"
    assert path.read_bytes() == b"better"


def test_wrong_hash_is_refused(index: Index, tmp_path: Path) -> None:
    index.offer("pip-24.3.1-py3-none-any.whl", b"forged", digest="0" * 64)
    with pytest.raises(ValueError, match="does not have the hash"):
        fetch_pip.fetch(index.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_index_without_pip_is_told(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no wheel of pip"):
        fetch_pip.fetch(index.url, tmp_path)


def test_requirements_come_from_the_project_file() -> None:
    run = requirements.requirements(ROOT / "pyproject.toml", "run")
    test = requirements.requirements(ROOT / "pyproject.toml", "test")
    assert any(line.startswith("twisted") for line in run)
    assert set(run) < set(test)
    assert any(line.startswith("pytest") for line in test)


@pytest.mark.parametrize("name", _STANDARD_LIBRARY_ONLY)
def test_they_need_nothing_but_python(name: str) -> None:
    """-I and -S leave out site-packages, and -P the folder of the file, whose names would hide the library's."""
    path = ROOT / "hs_common/process" / name
    program = f"import runpy; runpy.run_path({str(path)!r}, run_name='imported')"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
