"""Installs pip into the environment of the Python that runs this, for machines whose Python comes without ensurepip.

Run by ./viaduct, before anything is installed, so it uses the standard library alone. A wheel of pip can install
itself; it comes from the package index that pip would use, and is checked against the index' hash.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

_DEFAULT_INDEX = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json"  # PEP 691
_TIMEOUT_S = 60
_WHEEL = re.compile(r"pip-(\d+)\.(\d+)(?:\.(\d+))?-py3-none-any\.whl")


def newest_wheel(files: list[dict[str, Any]]) -> dict[str, Any]:
    """The index' entry of the newest final release of pip. Raises ValueError when there is none."""
    wheels = [
        (match, file) for file in files if (match := _WHEEL.fullmatch(file["filename"])) and not file.get("yanked")
    ]
    if not wheels:
        raise ValueError("the package index has no wheel of pip")
    return max(wheels, key=lambda wheel: [int(part or 0) for part in wheel[0].groups()])[1]


def fetch(index: str, folder: Path) -> Path:
    """Download that wheel into `folder`. Raises OSError, or ValueError for a wrong hash."""
    page_url = index.rstrip("/") + "/pip/"
    with urlopen(Request(page_url, headers={"Accept": _ACCEPT}), timeout=_TIMEOUT_S) as response:
        wheel = newest_wheel(json.load(response)["files"])
    with urlopen(urljoin(page_url, wheel["url"]), timeout=_TIMEOUT_S) as response:
        content = response.read()
    if hashlib.sha256(content).hexdigest() != wheel["hashes"]["sha256"]:
        raise ValueError(f"{wheel['filename']} does not have the hash that the package index names")
    path = folder / str(wheel["filename"])
    path.write_bytes(content)
    return path


def main() -> int:
    """Fetch pip and let it install itself."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = fetch(os.environ.get("PIP_INDEX_URL", _DEFAULT_INDEX), Path(folder))
        except (OSError, ValueError, KeyError) as error:
            print(f"fetching pip: {error}", file=sys.stderr)
            return 1
        install = [sys.executable, f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]
        return subprocess.run(install, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
